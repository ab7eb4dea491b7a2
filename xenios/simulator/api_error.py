"""How a simulated pool says no: an error of the API, or a connection that is simply cut.

Both are part of what a client has to live with, so both are values that tests can compare, and never a defect
of the simulator.

Effects: none
"""


class ApiError(Exception):
    """An answer with XAPI's error code and its parameters, in XAPI's order."""

    def __init__(self, code: str, *params: str) -> None:
        """`code` as in the list of errors of the data model: `HANDLE_INVALID`, and then `VM`, `OpaqueRef:…`."""
        super().__init__(code, *params)
        self.code = code
        self.params = tuple(str(param) for param in params)

    @property
    def description(self) -> list[str]:
        """The code and its parameters as one list, as XML-RPC's ErrorDescription and a task's error_info have it."""
        return [self.code, *self.params]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiError) and self.description == other.description

    def __hash__(self) -> int:
        return hash(tuple(self.description))


class ConnectionCut(Exception):
    """The host died or its toolstack restarted: the connection is closed and no answer will ever come."""
