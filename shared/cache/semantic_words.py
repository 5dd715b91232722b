"""English words that make questions differ though they are alike: negations, opposites, dates, question words."""

_NEGATIONS = (
    "not no never none nothing nobody nowhere neither nor without except excluding avoid prevent stop stopped lack "
    "lacking unable fail fails failed refuse refuses"
)
NEGATIONS = frozenset(_NEGATIONS.split())
QUESTION_WORDS = frozenset({"how", "why", "when", "where", "who", "whom", "whose", "which", "what"})
_DATES = (
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august "
    "september october november december spring summer autumn winter today tomorrow yesterday tonight morning "
    "afternoon evening night noon midnight weekend weekday daily weekly monthly quarterly yearly annual annually "
    "hourly first second third last next previous current once twice half double quarter"
)
DATES = frozenset(_DATES.split())
# No answer depends on whether they are there.
_GENERIC = (
    "need want like know tell help explain describe show possible way able get got make let give go going need try "
    "wish look find see say best good just really actually currently please way thing about would could exactly "
    "kindly simply quickly easily properly correctly steps step process procedure instructions guide"
)
GENERIC = frozenset(_GENERIC.split())
_OPPOSITES = (
    "on/off in/out up/down left/right open/close open/closed start/stop start/end start/finish begin/end "
    "begin/finish first/last enable/disable enabled/disabled activate/deactivate activate/cancel add/remove "
    "add/delete create/delete create/remove insert/delete install/uninstall install/remove lock/unlock "
    "login/logout connect/disconnect subscribe/unsubscribe subscribe/cancel increase/decrease increase/reduce "
    "raise/lower raise/reduce more/less more/fewer most/least max/min maximum/minimum highest/lowest high/low "
    "higher/lower longest/shortest long/short longer/shorter large/small larger/smaller largest/smallest "
    "big/small biggest/smallest bigger/smaller fast/slow faster/slower fastest/slowest early/late earlier/later "
    "earliest/latest before/after old/new older/newer oldest/newest hot/cold warm/cold heat/cool heating/cooling "
    "cheap/expensive cheapest/dearest good/bad best/worst better/worse safe/dangerous safe/unsafe legal/illegal "
    "allow/forbid allow/block allow/deny allowed/forbidden allowed/banned permit/forbid accept/reject "
    "accept/decline approve/reject approve/deny buy/sell buying/selling lend/borrow import/export "
    "upload/download send/receive push/pull push/pop read/write encode/decode encrypt/decrypt "
    "compress/decompress zip/unzip show/hide hidden/visible public/private internal/external inside/outside "
    "indoor/outdoor indoors/outdoors upper/lower above/below over/under top/bottom front/back "
    "ascending/descending forward/backward forwards/backwards arrival/departure arrive/leave arrive/depart "
    "enter/exit enter/leave entrance/exit entry/exit join/leave win/lose gain/lose gain/loss profit/loss "
    "profits/losses income/expense credit/debit deposit/withdraw deposits/withdrawals deposit/withdrawal "
    "pass/fail success/failure true/false yes/no all/none all/some always/never everyone/nobody include/exclude "
    "included/excluded including/excluding with/without full/empty fill/empty wet/dry light/dark light/heavy "
    "strong/weak hard/soft hard/easy easy/difficult thick/thin wide/narrow deep/shallow rich/poor male/female "
    "man/woman men/women boy/girl mother/father son/daughter husband/wife adult/child adults/children "
    "parent/child employer/employee landlord/tenant teacher/student doctor/patient buyer/seller lender/borrower "
    "client/server sender/recipient winner/loser question/answer north/south east/west northern/southern "
    "eastern/western sunrise/sunset day/night summer/winter spring/autumn am/pm morning/evening single/double "
    "single/joint single/married single/multiple one/both either/both manual/automatic manually/automatically "
    "static/dynamic sync/async synchronous/asynchronous local/remote local/global online/offline "
    "temporary/permanent temporarily/permanently optional/mandatory optional/required voluntary/compulsory "
    "minor/major junior/senior primary/secondary domestic/international inbound/outbound incoming/outgoing "
    "upstream/downstream upgrade/downgrade expand/collapse attach/detach mount/unmount pause/resume freeze/thaw "
    "freeze/unfreeze follow/unfollow mute/unmute like/dislike agree/disagree appear/disappear love/hate "
    "positive/negative plus/minus multiply/divide even/odd alive/dead asleep/awake acid/alkaline vegan/meat "
    "raw/cooked gross/net weekday/weekend weekdays/weekends monthly/yearly monthly/annual monthly/annually "
    "daily/weekly weekly/monthly fixed/variable short-term/long-term checking/savings current/savings "
    "renew/cancel keep/cancel keep/delete save/delete save/discard save/spend stay/leave return/keep merge/split "
    "mix/separate push/fetch commit/revert apply/revert do/undo redo/undo grant/revoke hire/fire hire/dismiss "
    "pay/refund charge/refund own/rent buy/rent buy/lease rent/let sync/unsync pin/unpin block/unblock "
    "tighten/loosen sweet/sour sweet/savoury smooth/rough tall/short young/old oldest/youngest older/younger "
)
OPPOSITES: dict[str, frozenset[str]] = {}
for _pair in _OPPOSITES.split():
    _one, _other = _pair.split("/")
    OPPOSITES[_one] = OPPOSITES.get(_one, frozenset()) | {_other}
    OPPOSITES[_other] = OPPOSITES.get(_other, frozenset()) | {_one}
NEGATING_PREFIXES = ("un", "dis", "non", "in", "im", "ir", "il", "de", "mis", "anti")
