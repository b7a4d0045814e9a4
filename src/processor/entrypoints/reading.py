"""How a setting is declared, and how all of them are read from the environment at once.

A setting is an attrs field whose metadata says everything about it: its variable, its kind (type
and range), what it means and why its default is what it is. Reading, showing, `.env.example` and
the table in docs/OPERATIONS.md all come from that one declaration.

Whoever starts a service with four wrong settings wants to hear of four, so cattrs' detailed
validation collects them; a kind raises ValueError with the half sentence that says what is wrong.
An empty variable counts as unset, as compose files and `.env` templates are full of those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import urlsplit

import attrs
from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from processor.entrypoints.exits import WrongSetup

T = TypeVar("T")

_DECLARED = "declared"
_LONGEST_FILE = 65_536
"""A value read from a file is a password or a URL. More than this is a wrong path."""


class Kind(Protocol):
    """The type and range of a setting."""

    @property
    def name(self) -> str:
        """The type, as a person reads it."""
        ...

    @property
    def allowed(self) -> str:
        """The range, as a person reads it."""
        ...

    def parse(self, text: str) -> Any:
        """The value; raises ValueError with what is wrong, beginning in lower case."""
        ...

    def show(self, value: Any) -> str:
        """The value as it may be shown to anybody: secrets masked."""
        ...


@attrs.frozen
class Whole:
    low: int
    high: int
    name: str = "integer"

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError(f"{text!r} is not an integer")
        value = int(text)
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} is out of range")
        return value

    def show(self, value: int) -> str:
        return str(value)


@attrs.frozen
class Flag:
    name: str = "boolean"
    allowed: str = "true or false"

    def parse(self, text: str) -> bool:
        try:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        except KeyError:
            raise ValueError(f"{text!r} is neither true nor false") from None

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@attrs.frozen
class OneOf:
    choices: Sequence[str]
    name: str = "word"

    @property
    def allowed(self) -> str:
        return ", ".join(self.choices)

    def parse(self, text: str) -> str:
        if text.lower() not in self.choices:
            raise ValueError(f"{text!r} is none of them")
        return text.lower()

    def show(self, value: str) -> str:
        return value


@attrs.frozen
class SomeOf:
    """A comma list of distinct words; `later` are those that a later version will have."""

    choices: Sequence[str]
    later: Sequence[str] = ()
    name: str = "comma list"

    @property
    def allowed(self) -> str:
        return ", ".join(self.choices)

    def parse(self, text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",")))
        wrong = [
            f"{word!r} {'is not in this version yet' if word in self.later else 'is unknown'}"
            for word in words
            if word not in self.choices
        ]
        if wrong:
            raise ValueError(" and ".join(wrong))
        return words

    def show(self, value: Sequence[str]) -> str:
        return ",".join(value)


@attrs.frozen
class Name:
    """A name without blanks or control characters."""

    longest: int
    pattern: str = r"[!-~]+"
    spelling: str = "printable ASCII without blanks"
    name: str = "text"

    @property
    def allowed(self) -> str:
        return f"1 to {self.longest} characters, {self.spelling}"

    def parse(self, text: str) -> str:
        if len(text) > self.longest:
            raise ValueError(f"it has {len(text)} characters")
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} is spelled otherwise")
        return text

    def show(self, value: str) -> str:
        return value


@attrs.frozen
class Url:
    """A server's address. It may hold a password, so no error ever repeats it."""

    schemes: Sequence[str]
    host_required: bool = True
    name: str = "URL"

    @property
    def allowed(self) -> str:
        return " or ".join(f"{scheme}://" for scheme in self.schemes)

    def parse(self, text: str) -> str:
        if "#" in text or " " in text or not text.isprintable():
            raise ValueError(
                "it has a '#', a blank or a control character: percent-encode those of a password"
            )
        try:
            parts = urlsplit(text)
            # A list of hosts (PostgreSQL) has several ports; the driver judges those.
            port = None if "," in parts.netloc else parts.port
        except ValueError:
            raise ValueError("it is not a URL, or its port is not a number") from None
        if parts.scheme not in self.schemes:
            raise ValueError("it does not begin with the scheme of such a server")
        if (self.host_required and not parts.hostname) or port == 0:
            raise ValueError("it names no host, or port 0")
        return text

    def show(self, value: str) -> str:
        return masked(value)


@attrs.frozen
class Origins:
    """A comma list of web origins, compared as a whole and so written as browsers write them."""

    name: str = "comma list"
    allowed: str = "origins such as https://rally.example or http://localhost:8055"

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._origin(part.strip()) for part in text.split(",")))

    def _origin(self, text: str) -> str:
        origin = text.lower()
        if not re.fullmatch(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", origin):
            raise ValueError(f"{text!r} is no origin: scheme, host and port, no path and no '*'")
        scheme, _, place = origin.partition("://")
        usual = {"http": ":80", "https": ":443"}[scheme]
        return origin.removesuffix(usual) if place.endswith(usual) else origin

    def show(self, value: Sequence[str]) -> str:
        return ",".join(value)


def masked(url: str) -> str:
    """The URL with its passwords as `***`; host, port and path stay to be read."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "***"
    authority, slash, path = rest.partition("/")
    userinfo, at, host = authority.rpartition("@")
    if "@" in path or "#" in url:  # a password with a '/' or '#' in it: what is what, is a guess
        return f"{scheme}://***"
    user, colon, _ = userinfo.partition(":")
    shown = f"{scheme}://{user}{colon and ':***'}{at}{host}{slash}{path}"
    return re.sub(r"(?i)([?&](?:ssl)?pass[a-z]*=)[^&]*", r"\1***", shown)


def _masked(url: str | None) -> str:
    return repr(url and masked(url))


@attrs.frozen
class Declared:
    """Everything there is to say about one setting. `default` is what the documents show."""

    variable: str
    kind: Kind
    meaning: str
    default: str
    why: str
    required: bool
    example: str


def setting(
    variable: str,
    kind: Kind,
    meaning: str,
    *,
    default: Any = attrs.NOTHING,
    said: str = "",
    why: str = "",
    example: str = "",
) -> Any:
    """Declare one setting. Without a default it is required and needs an `example`; a default
    that is computed is None here, and `said` in words."""
    required = default is attrs.NOTHING
    shown = said or ("" if required or default is None else kind.show(default))
    declared = Declared(variable, kind, meaning, shown, why, required, example)
    return attrs.field(
        default=default,
        kw_only=True,
        metadata={_DECLARED: declared},
        repr=_masked if isinstance(kind, Url) else True,  # a repr ends up in tracebacks
    )


def declarations(group: type[Any]) -> Iterator[tuple[str, Declared]]:
    """(attribute, declaration) of each setting of a group, in the order of declaration."""
    for attribute in attrs.fields(group):
        if _DECLARED in attribute.metadata:
            yield attribute.name, attribute.metadata[_DECLARED]


@runtime_checkable
class Conflicting(Protocol):
    """Settings of which some may be wrong together though each is right by itself."""

    @classmethod
    def conflicts(cls, groups: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """(variable, sentence) for each. `groups` are those in which nothing is wrong."""
        ...


class WrongSettings(WrongSetup):
    """Every wrong setting, a line each; `smallest` is shown where nothing required was set."""

    def __init__(self, lines: Sequence[str], smallest: Sequence[str] = ()) -> None:
        hint = ["", "The smallest .env that works:", *smallest] if smallest else []
        super().__init__("\n".join([*lines, *hint]))
        self.lines = lines
        self.smallest = smallest


def read(settings: type[T], environ: Mapping[str, str]) -> T:
    """An instance of `settings`, an attrs class whose fields are groups of settings.

    Raises WrongSettings with a line for each setting of those groups that is wrong.
    """
    groups: dict[str, Any] = {}
    lines: list[str] = []
    required: dict[str, bool] = {}
    for attribute in attrs.fields(cast("type[attrs.AttrsInstance]", settings)):
        group = cast("type[Any]", attribute.type)
        texts, unread = _texts(group, environ)
        lines.extend(unread)
        for _, declared in declarations(group):
            if declared.required:
                required[f"{declared.variable}={declared.example}"] = declared.variable in texts
        try:
            groups[attribute.name] = _converter(group).structure(texts, group)
        except ClassValidationError as errors:
            unread_variables = {line.partition(":")[0] for line in unread}
            lines.extend(
                line
                for line in _sentences(group, errors)
                if line.partition(":")[0] not in unread_variables
            )
    smallest = [] if any(required.values()) else list(required)
    if issubclass(settings, Conflicting):
        for variable, sentence in settings.conflicts(groups):
            lines.append(f"{variable}: {sentence}")
            if smallest and (example := _example(settings, variable)):
                smallest.append(f"{variable}={example}")
    if lines:
        raise WrongSettings(lines, smallest)
    return settings(**groups)


def _example(settings: type[Any], variable: str) -> str:
    for attribute in attrs.fields(settings):
        for _, declared in declarations(attribute.type):
            if declared.variable == variable:
                return declared.example
    return ""


def _texts(group: type[Any], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What the environment says, `NAME_FILE` read; and a line for each that could not be."""
    texts: dict[str, str] = {}
    lines = []
    for _, declared in declarations(group):
        variable = declared.variable
        text = environ.get(variable, "").strip()
        path = environ.get(f"{variable}_FILE", "").strip()
        if text and path:
            lines.append(f"{variable}: {variable}_FILE is set, too; set only one of the two")
        elif path:
            try:
                with Path(path).open(encoding="utf-8") as file:
                    text = file.read(_LONGEST_FILE).strip()
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "not text in UTF-8"
                lines.append(f"{variable}: {variable}_FILE cannot be read ({why})")
                continue
            if not text:
                lines.append(f"{variable}: the file that {variable}_FILE names is empty")
        if text:
            texts[variable] = text
    return texts, lines


def _converter(group: type[Any]) -> Converter:
    converter = Converter(detailed_validation=True)

    def parsed(one: Declared) -> Any:
        return override(rename=one.variable, struct_hook=lambda text, _: one.kind.parse(text))

    overrides = {name: parsed(declared) for name, declared in declarations(group)}
    hook = make_dict_structure_fn(group, converter, **overrides)
    converter.register_structure_hook(group, hook)
    return converter


def _sentences(group: type[Any], errors: ClassValidationError) -> Iterator[str]:
    declared = dict(declarations(group))
    noted, others = errors.group_exceptions()
    assert not others, others
    for error, note in noted:
        one = declared[note.name]
        if isinstance(error, KeyError):
            yield f"{one.variable}: missing; {one.meaning}, for instance {one.example}"
        else:
            yield f"{one.variable}: {error}; allowed: {one.kind.allowed}"
