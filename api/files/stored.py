"""Checks that the routes of files and of batches share."""

from api.services import Services
from shared.batches.files import no_such_file
from shared.batches.model import StoredFile
from shared.errors import InvalidRequest
from shared.governance.keys.caller import Caller

MIN_LIFETIME_S = 3600
MAX_LIFETIME_S = 30 * 86_400


async def find_file(services: Services, caller: Caller, file_id: str) -> StoredFile:
    """Return a stored file that the caller may see.

    Raises:
        NotFound: There is none, or it belongs to another caller; the answer is the same.
    """
    file = await services.files.get(file_id)
    if file is None or not caller.may_see(file.owner):
        raise no_such_file(file_id)
    return file


def check_lifetime(value: object, param: str) -> int:
    """Parse a file's lifetime in seconds.

    Raises:
        InvalidRequest: It is not a whole number from an hour to thirty days, the range of OpenAI's API.
    """
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= 7 and MIN_LIFETIME_S <= int(text) <= MAX_LIFETIME_S:
        return int(text)
    raise InvalidRequest(f"{param} must be a whole number from {MIN_LIFETIME_S} to {MAX_LIFETIME_S}.", param=param)
