"""The file of tokens, read and judged. Its format is `lasthop.model.token`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.api.secret_file import read_secret
from lasthop.errors import DirectorError
from lasthop.model.token import MalformedTokensError, parsed

if TYPE_CHECKING:
    from lasthop.model.token import Token


def tokens_in(path: str, content: bytes | None = None) -> tuple[Token, ...]:
    """The tokens in the file at `path`, which holds `content`. Raises DirectorError."""
    given = read_secret("the tokens", path) if content is None else content
    try:
        return parsed(given.decode())
    except UnicodeDecodeError:
        raise DirectorError(f"can't use the tokens {path}: it is not UTF-8", "save the file as UTF-8 text") from None
    except MalformedTokensError as problem:
        raise DirectorError(f"can't use the tokens {path}: {problem.problem}", problem.remedy) from None
