"""Logging in and out of a simulated pool, and the other calls about sessions.

Effects: none
"""

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import FieldType, Kind, Parameter
from xenios.simulator.sessions import Session


async def _check_password(call: Call, user: str, password: str) -> None:
    """A wrong password is answered late, so that guessing takes long."""
    if call.pool.passwords.get(user) != password:
        await call.pool.clock.sleep(call.pool.login_delay_seconds)
        raise ApiError("SESSION_AUTHENTICATION_FAILED", user, "Authentication failure")


@implements("session.login_with_password", needs_session=False, reads=False)
async def login_with_password(
    call: Call, uname: str, pwd: str, version: str = "1.1", originator: str = ""
) -> str:
    """Log in to the pool; the version is not looked at, as on the real server."""
    await _check_password(call, uname, pwd)
    return call.pool.sessions.open(uname, originator, call.host).ref


@implements("session.slave_local_login_with_password", needs_session=False, reads=False)
async def slave_local_login_with_password(call: Call, uname: str, pwd: str) -> str:
    """Log in to one host alone; works in emergency mode and on supporters."""
    await _check_password(call, uname, pwd)
    return call.pool.sessions.open_local(uname, call.host).ref


def _session_of(call: Call) -> Session:
    if call.session is None:
        raise ApiError("SESSION_INVALID", "")
    return call.session


@implements("session.logout", reads=False)
def logout(call: Call) -> None:
    """Log out; calls that wait on the session's behalf fail."""
    call.pool.sessions.close(_session_of(call))


@implements("session.local_logout", reads=False)
def local_logout(call: Call) -> None:
    """Log out of one host alone."""
    call.pool.sessions.close(_session_of(call))


@implements("session.change_password", reads=False)
def change_password(call: Call, old_pwd: str, new_pwd: str) -> None:
    """Change the password of the user who is logged in."""
    user = _session_of(call).user
    if call.pool.passwords.get(user) != old_pwd:
        raise ApiError("SESSION_AUTHENTICATION_FAILED", user, "Authentication failure")
    if not new_pwd:
        raise ApiError("CHANGE_PASSWORD_REJECTED", "Authentication token manipulation error")
    call.pool.passwords[user] = new_pwd


@implements("session.get_all_subject_identifiers")
def get_all_subject_identifiers(call: Call) -> list[str]:
    """The users of a directory who are logged in; a simulated pool knows none."""
    return []


@implements("session.logout_subject_identifier", reads=False)
def logout_subject_identifier(call: Call, subject_identifier: str) -> None:
    """End the sessions of a directory user, of which there are none."""


_HOST = (Parameter("host", FieldType(Kind.REF, "host"), has_default=False),)


@implements("pool.is_slave", params=_HOST, result=FieldType(Kind.BOOL))
def is_slave(call: Call, host: str) -> bool:
    """Whether the host asked is not the master."""
    return call.host != call.pool.master()


@implements("host.is_in_emergency_mode", params=(), result=FieldType(Kind.BOOL))
def is_in_emergency_mode(call: Call) -> bool:
    """Whether the host asked cannot reach its pool."""
    return call.pool.outages.emergency_of(call.host) is not None
