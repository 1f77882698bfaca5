"""Who waits for what is new about releases, so that a change of one does not wake everybody."""

from __future__ import annotations

from services.kit.hub import Hub


class News:
    """`leader` waits for what the leader has to look at, `watchers` for what callers are shown."""

    def __init__(self) -> None:
        self.leader = Hub()
        self.watchers = Hub()
        self.commands = 0  # grows with each; then the database holds something that the leader does not know

    def seen(self) -> None:
        """Something in Consul is another."""
        self.leader.notify()

    def commanded(self) -> None:
        """Somebody has asked for something, and it is kept."""
        self.commands += 1
        self.leader.notify()
        self.watchers.notify()

    def kept(self) -> None:
        """The leader has decided something."""
        self.watchers.notify()
