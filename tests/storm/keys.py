"""The keys of a storm, and what is done in which bucket."""

from dataclasses import dataclass

PLAIN, VERSIONED = "plain", "versioned"
#: Keys of a group are listed together, by their common prefix.
KEYS_A_GROUP = 20
#: Versions of keys with this prefix are also deleted by id; the others only ever get more versions.
PRUNED = "w/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of a storm."""

    plain: tuple[str, ...]
    versioned: tuple[str, ...]

    @classmethod
    def make(cls, plain: int, versioned: int) -> "Keys":
        def name(prefix: str, number: int) -> str:
            return f"{prefix}{number // KEYS_A_GROUP:02}/{number % KEYS_A_GROUP:02}"

        half = versioned // 2
        names = [name("v/", number) for number in range(half)]
        names += [name(PRUNED, number) for number in range(versioned - half)]
        return cls(plain=tuple(name("k/", number) for number in range(plain)), versioned=tuple(names))

    def group_of(self, bucket: str, key: str) -> list[str]:
        """The keys of a bucket that share a key's prefix."""
        prefix = prefix_of(key)
        return [one for one in (self.plain if bucket == PLAIN else self.versioned) if one.startswith(prefix)]


def prefix_of(key: str) -> str:
    return key[: key.rindex("/") + 1]
