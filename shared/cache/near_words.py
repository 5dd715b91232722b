"""English words that near matches know: courtesy, fillers, contractions, directions, words one slip from another."""

CONTRACTIONS = {
    "what's": "what is", "whats": "what is", "who's": "who is", "where's": "where is", "when's": "when is",
    "how's": "how is", "that's": "that is", "there's": "there is", "it's": "it is", "i'm": "i am", "im": "i am",
    "i'd": "i would", "i've": "i have", "can't": "can not", "cant": "can not", "cannot": "can not",
    "won't": "will not", "wont": "will not", "shan't": "shall not", "ain't": "is not", "let's": "let us",
}  # fmt: skip
GREETINGS = (
    "good morning", "good afternoon", "good evening", "hi there", "hello there", "hey there", "hi team",
    "hello team", "hi all", "hello", "hiya", "hey", "hi", "quick question", "quick one", "just wondering",
    "just a quick question", "excuse me", "sorry to bother you but", "sorry to bother you",
    "sorry silly question but", "morning", "afternoon", "evening", "could you tell me", "can you tell me",
    "please", "ok", "okay", "so", "yeah",
)  # fmt: skip
THANKS = (
    "thanks in advance", "thank you in advance", "thanks a lot", "thanks so much", "thank you so much",
    "thank you very much", "many thanks", "kind regards", "best regards", "thank you", "thanks", "thx", "ta",
    "cheers", "please",
)  # fmt: skip
# Left out: no answer depends on them. Not "is" and "are": without them a statement equals its question.
FILLERS = frozenset({"a", "an", "please", "the"})
HESITATIONS = frozenset({"er", "erm", "uh", "um"})
_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED.split())} | {"hundred": "100", "thousand": "1000"}
_DIRECTED = (
    "after against and before between by from if instead into not of onto or over than then till to under unless "
    "until versus vs without "
)
# They turn around when what stands beside them does: no phrase is moved over them.
DIRECTED = frozenset(_DIRECTED.split())
_ENGLISH = (
    "a about after all am an and any are as at be been before but by can could did do does for from had has have "
    "he her here his how i if in into is it its may me might must my no not of off on or our out over shall she "
    "should so some than that the their then there these they this those to under up was we were what when where "
    "which who whom whose why will with would you your "
)
ENGLISH = frozenset(_ENGLISH.split())
# Pairs of words of five letters or more that are one slip apart: neither is a misspelling of the other.
_CONFUSABLE = (
    "abduct/adduct action/auction adapt/adopt adapter/adopter adverse/averse advice/advise allow/alloy "
    "angel/angle annual/annul ascend/ascent ascent/assent beast/breast better/bitter better/butter black/block "
    "boarder/border borrow/burrow bought/brought brake/brave bread/breed bread/broad breath/breathe broken/broker "
    "burying/buying cancel/cancer canvas/canvass capital/capitol casual/causal chance/change change/charge "
    "charged/charger charged/charges charger/charges cheap/cheat check/chick child/chill choose/chose clash/class "
    "clean/clear clear/cleat click/clock climactic/climatic clone/close closed/closet cloth/clothe coach/couch "
    "coarse/course collage/college complement/compliment confirm/conform contact/contract content/contest "
    "content/context contest/context contract/contrast convert/covert corps/corpse count/court country/county "
    "cover/cower crash/crush crate/create crops/cross daily/dairy dairy/diary decent/descent defect/detect "
    "dependant/dependent deprecate/depreciate desert/dessert device/devise diner/dinner dining/dinning "
    "direct/direst discreet/discrete drawing/drawling drive/driver easter/eastern elected/erected "
    "employee/employer ensue/ensure erase/erased exercise/exorcise expand/expend expanse/expense extend/extent "
    "farther/father fever/fewer filing/filling final/finale flash/flesh flesh/fresh flight/fright flood/floor "
    "forego/forgo front/frost glass/gloss gluten/glutes grade/grape grand/grant grass/gross greed/green "
    "guide/guise heard/heart heart/hearth hoping/hopping horse/house hostel/hotel human/humane hyped/hyper "
    "impart/import infest/invest ingenious/ingenuous inter/intern interviewee/interviewer lamest/latest "
    "large/larger lasts/lists later/latter later/layer lateral/literal latter/letter launch/lunch lease/least "
    "lease/leave lessen/lesson letter/litter level/lever licence/license loath/loathe lodge/lodger logic/login "
    "major/mayor males/miles march/match marina/marine marital/martial medal/metal meter/metre miner/minor "
    "modal/model model/modem model/motel money/monkey month/mouth moral/morale moral/mortal morning/mourning "
    "naive/native naval/navel notice/novice older/order ordinance/ordnance other/otter paint/point palace/place "
    "parity/party parts/party parts/ports pasta/paste patent/patient payee/payer payer/player paying/playing "
    "pedal/petal perfect/prefect perpetrate/perpetuate phone/prone place/plane plaid/plain plane/plant "
    "plane/plate planet/plant planing/planning planned/planted planner/planter point/print poker/power "
    "police/policy policy/polity portal/postal portion/potion ports/posts practice/practise prescribe/proscribe "
    "present/prevent price/pride price/prime price/prize pride/prime probe/prove produce/product "
    "prophecy/prophesy protean/protein quiet/quite quite/quote quota/quote ratio/ration reach/react rebate/relate "
    "remote/remove renting/resting replay/reply report/resort report/retort reports/resorts retail/retain "
    "revised/revived route/router sample/simple saved/shaved saving/shaving scale/stale scene/scent scope/score "
    "scope/slope score/store senior/sensor service/serviced setting/sitting shame/shape shape/share share/spare "
    "shared/shaved sharing/shaving shift/shirt ships/shops shirt/short shoes/shows shore/short shore/store "
    "signed/singed sited/suited skill/skull slate/state sleep/steep slice/slide small/smell smart/start "
    "smoke/smoky sorted/sported space/spice spade/spare speed/spend spend/spent spring/string staff/stuff "
    "stage/stake stage/state stale/state stale/style staring/starring stars/start stationary/stationery "
    "statue/status statue/statute steal/steel steam/stream steel/steep steps/stops stick/stock stole/stone "
    "stone/store stooped/stopped store/story store/stove stored/storied storm/story strap/strip strike/stroke "
    "study/sturdy summary/summery swatch/switch sweat/sweet table/tablet taken/token tanks/tasks taxes/taxis "
    "there/three these/those thicket/ticket thing/think thorough/through though/thought though/tough threat/treat "
    "through/trough tiles/times times/tires towel/tower trace/trade track/trick track/truck trail/train "
    "trail/trial trainee/trainer transit/transmit tread/trend treat/treaty trick/truck twice/twine unite/unity "
    "united/untied valley/volley value/valve venal/venial waiter/water waiter/writer while/white while/whole "
    "white/write whole/whose widow/window winner/winter wiping/wiring woman/women words/works worked/worker "
    "world/would worse/worst write/wrote "
)
CONFUSABLE = frozenset(frozenset(pair.split("/")) for pair in _CONFUSABLE.split())
