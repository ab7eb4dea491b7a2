"""Targets as users write them, also badly; and passwords that show themselves to nobody.

Effects: none
"""

from __future__ import annotations

import copy
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenios.app import without_secrets
from xenios.drivers.xenserver.target import Secret, XenServerTarget, is_xenserver, parse_target
from xenios.drivers.xenserver.transport import Address
from xenios.errors import TargetUnreadable

SECRET = "geheim"


@pytest.mark.parametrize(
    ("text", "user", "url"),
    [
        ("xenserver://xs1", "root", "https://xs1"),
        ("xenserver://root@xs1.example.org", "root", "https://xs1.example.org"),
        ("XenServer://root@xs1", "root", "https://xs1"),
        ("xenserver://root@xs1:8443", "root", "https://xs1:8443"),
        ("xenserver://root@xs1:443", "root", "https://xs1"),
        ("xenserver://root@xs1/", "root", "https://xs1"),
        ("xenserver+http://root@192.0.2.7", "root", "http://192.0.2.7"),
        ("xenserver+http://root@192.0.2.7:443", "root", "http://192.0.2.7:443"),
        ("xenserver://root@[2001:db8::1]", "root", "https://[2001:db8::1]"),
        ("xenserver://root@[2001:DB8:0::1]:8443", "root", "https://[2001:db8::1]:8443"),
        ("xenserver://[::1]:8443", "root", "https://[::1]:8443"),
        ("xenserver://root@[fe80::1%eth0]", "root", "https://[fe80::1%eth0]"),
        ("xenserver://root@[fe80::1%25eth0]", "root", "https://[fe80::1%eth0]"),
        ("xenserver://CORP\\anna@xs1", "CORP\\anna", "https://xs1"),
        ("xenserver://anna@corp.example@xs1", "anna@corp.example", "https://xs1"),
        ("xenserver://anna%40corp.example@xs1", "anna@corp.example", "https://xs1"),
        ("xenserver://a%3Ab%2Fc@xs1", "a:b/c", "https://xs1"),
        ("xenserver://j%C3%BCrgen@xs1", "jürgen", "https://xs1"),
        ("xenserver://a b@xs_1", "a b", "https://xs_1"),
    ],
)
def test_what_a_target_names(text: str, user: str, url: str) -> None:
    target = parse_target(text)
    assert (target.user, str(target.address)) == (user, url)
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("xenserver://", "no host"),
        ("xenserver://root@", "no host"),
        ("xenserver://@xs1", "no user"),
        ("xenserver://root@xs1/pool", "after the host"),
        ("xenserver://root@xs1?x=1", "after the host"),
        ("xenserver://root@xs1#x", "after the host"),
        ("xenserver://root@xs1:", "port"),
        ("xenserver://root@xs1:0", "port"),
        ("xenserver://root@xs1:65536", "port"),
        ("xenserver://root@xs1:-1", "port"),
        ("xenserver://root@xs1:４４３", "port"),
        ("xenserver://root@xs1:443x", "port"),
        ("xenserver://root@2001:db8::1", "brackets"),
        ("xenserver://root@[2001:db8::1", "brackets"),
        ("xenserver://root@[2001:db8::1]8443", "brackets"),
        ("xenserver://root@[xs1]", "IPv6"),
        ("xenserver://root@[fe80::1%]", "zone"),
        ("xenserver://root@300.1.1.1", "IPv4"),
        ("xenserver://root@1.2.3", "IPv4"),
        ("xenserver://root@-xs1", "host"),
        ("xenserver://root@xs 1", "host"),
        ("xenserver://root@xs1..example", "host"),
        ("xenserver://ro%zzot@xs1", "%"),
        ("xenserver://%ff@xs1", "UTF-8"),
        ("xenserver://a%00b@xs1", "control"),
        ("xenserver://root\n@xs1", "control"),
        ("qemu:///system", "no XenServer target"),
    ],
)
def test_what_is_no_target_is_said(text: str, said: str) -> None:
    with pytest.raises(TargetUnreadable) as raised:
        parse_target(text)
    assert said in str(raised.value)
    assert raised.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        f"xenserver://root:{SECRET}@xs1",
        f"xenserver://root:{SECRET}@xs1:443",
        f"xenserver+http://root:{SECRET}?#/@{SECRET}@xs1",
        f"xenserver://a@corp.example:{SECRET}@xs1/path",
        f"XENSERVER://root:{SECRET}:{SECRET}@xs1",
        f"xenserver://:{SECRET}@xs1",
    ],
)
def test_a_password_in_a_target_is_refused_and_not_repeated(text: str) -> None:
    assert is_xenserver(text)
    with pytest.raises(TargetUnreadable) as raised:
        parse_target(text)
    assert "password" in str(raised.value)
    assert "XENIOS_PASSWORD" in raised.value.remedy
    assert SECRET not in str(raised.value) + raised.value.remedy + repr(raised.value)
    assert SECRET not in without_secrets(text)


NAMES = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=1, max_size=20).filter(
    lambda name: not name.isdigit()
)


@given(
    user=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1),
    host=NAMES | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    secure=st.booleans(),
)
def test_a_target_reads_back_as_itself(user: str, host: str, port: int, secure: bool) -> None:
    target = XenServerTarget(user=user, address=Address(host=host, port=port, secure=secure))
    assert parse_target(str(target)) == target


@given(st.text())
def test_any_text_is_a_target_or_told_to_be_none(text: str) -> None:
    for scheme in ("xenserver", "xenserver+http"):
        try:
            target = parse_target(f"{scheme}://{text}")
        except TargetUnreadable:
            continue
        assert target.user
        assert target.address.host
        assert 1 <= target.address.port <= 65535


def test_the_master_is_reached_in_the_same_way() -> None:
    address = parse_target("xenserver+http://xs1:8080").address
    assert str(address.at("192.0.2.2")) == "http://192.0.2.2:8080"
    assert str(address.at("2001:db8::2")) == "http://[2001:db8::2]:8080"
    assert str(address.at("[2001:db8::2]")) == "http://[2001:db8::2]:8080"


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(SECRET)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        repr([secret]),
        repr({"password": secret}),
    ]
    assert not any(SECRET in text for text in shown)
    assert secret.reveal() == SECRET
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)
