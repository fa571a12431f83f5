"""Why a step of the journal could not be taken. None of these reaches a client: `journal.py` turns them into states."""


class JournalFailure(Exception):
    """Base of everything here."""


class JournalBlocked(JournalFailure):
    """Nothing can be done before somebody or something outside changes; the message is a sentence for people."""


class TwoJournals(JournalBlocked):
    """The nodes hold segments of two journals. One was founded where the other's nodes were not heard, or belongs to
    another cluster: which of the two is to be forgotten is for people to say.
    """


class RaceLost(JournalFailure):
    """Another process changes the segment at the same time, with a higher epoch: look again, a little later."""


class Superseded(JournalFailure):
    """The journal goes on for another incarnation of the index: this one is forgotten and may acknowledge nothing."""
