"""What a real Directus answers to the two questions that live asks: who are you, and may you?

Live decides by these answers alone (docs of the contract: live-websocket.md), so each is proved
here against Directus itself.
"""

import base64
import json
from uuid import uuid4

import pytest

from processor.entrypoints.demo.directus import COOKIE


def who(directus, cookie):
    return directus.ask("GET", "/users/me", cookie=cookie)


def may(directus, cookie, event):
    return directus.ask("GET", f"/items/events/{event}?fields=id", cookie=cookie)


def tampered(cookie):
    """With another signature, as somebody would send it who does not know the secret."""
    signed, _, signature = cookie.rpartition(".")
    return f"{signed}.{signature[::-1]}"


def claiming(cookie, person):
    """The same session and signature, but another user's name."""
    header, payload, signature = cookie.removeprefix(f"{COOKIE}=").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"id": person.id}).encode())
    return f"{COOKIE}={header}.{forged.decode().rstrip('=')}.{signature}"


# ------------------------------------------------------------------------------------ who are you


def test_a_session_is_told_its_id_and_nothing_else(rally):
    answer = who(rally.directus, rally.directus.log_in(rally.member))
    assert (answer.status, answer.data) == (200, {"id": rally.member.id})


def test_other_cookies_beside_it_do_no_harm(rally):
    cookie = rally.directus.log_in(rally.member)
    assert who(rally.directus, f"theme=dark; {cookie}; lang=it").status == 200


@pytest.mark.parametrize("cookie", [None, "theme=dark", f"{COOKIE}=", f"{COOKIE}=garbage"])
def test_without_a_session_nobody_is_anybody(directus, cookie):
    answer = who(directus, cookie)
    assert (answer.status, answer.data) == (401, None)


def test_a_session_ends_with_its_logout(rally):
    cookie = rally.directus.log_in(rally.member)
    rally.directus.log_out(cookie)
    assert who(rally.directus, cookie).status == 401


def test_a_session_ends_with_its_time(rally):
    cookie = rally.directus.log_in(rally.member)
    rally.directus.expire(rally.member)
    assert who(rally.directus, cookie).status == 401


def test_all_sessions_end_when_their_user_is_suspended(rally):
    cookies = [rally.directus.log_in(rally.member) for _ in range(2)]
    rally.directus.suspend(rally.member)
    assert [who(rally.directus, cookie).status for cookie in cookies] == [401, 401]


def test_one_logout_leaves_the_other_sessions(rally):
    one, other = (rally.directus.log_in(rally.member) for _ in range(2))
    rally.directus.log_out(one)
    assert who(rally.directus, other).status == 200


def test_a_refreshed_session_goes_on_under_both_cookies_for_a_while(rally):
    old = rally.directus.log_in(rally.member)
    new = rally.directus.refresh(old)
    assert new != old
    assert [who(rally.directus, cookie).status for cookie in (old, new)] == [200, 200]


def test_a_wrong_signature_is_forbidden_rather_than_unknown(rally):
    cookie = rally.directus.log_in(rally.member)
    for forged in (tampered(cookie), claiming(cookie, rally.outsider)):
        answer = who(rally.directus, forged)
        assert (answer.status, answer.code) == (403, "INVALID_TOKEN")


# ---------------------------------------------------------------------------------------- may you


def test_a_member_reads_the_event(rally):
    answer = may(rally.directus, rally.directus.log_in(rally.member), rally.event)
    assert (answer.status, answer.data) == (200, {"id": rally.event})


def test_an_administrator_reads_every_event(rally):
    cookie = rally.directus.log_in(rally.admin)
    for event in (rally.event, rally.other_event):
        assert may(rally.directus, cookie, event).status == 200


def test_what_is_not_ours_and_what_is_not_there_cannot_be_told_apart(rally):
    cookie = rally.directus.log_in(rally.member)
    asked = [rally.other_event, str(uuid4()), "no-uuid"]
    answers = {may(rally.directus, cookie, event) for event in asked}
    assert [(answer.status, answer.code) for answer in answers] == [(403, "FORBIDDEN")]


def test_no_session_at_all_is_forbidden_and_a_bad_one_unknown(rally):
    assert may(rally.directus, None, rally.event).status == 403
    assert may(rally.directus, f"{COOKIE}=garbage", rally.event).status == 401


def test_an_ended_session_is_unknown_rather_than_forbidden(rally):
    cookie = rally.directus.log_in(rally.member)
    rally.directus.log_out(cookie)
    assert may(rally.directus, cookie, rally.event).status == 401


def test_a_wrong_signature_is_forbidden_here_too(rally):
    forged = tampered(rally.directus.log_in(rally.member))
    answer = may(rally.directus, forged, rally.event)
    assert (answer.status, answer.code) == (403, "INVALID_TOKEN")


def test_who_joins_may_and_who_leaves_may_not_at_once(rally):
    cookie = rally.directus.log_in(rally.member)
    rally.office.admit(rally.other_organization, rally.member.id)
    assert may(rally.directus, cookie, rally.other_event).status == 200
    rally.office.dismiss(rally.organization, rally.member.id)
    assert may(rally.directus, cookie, rally.event).status == 403


# ---------------------------------------------------------------------- the installation's process


def test_sessions_outlive_a_pause_and_the_death_of_the_process(rally, own_directus):
    cookie = own_directus.log_in(rally.member)
    assert who(rally.directus, cookie).status == 200

    own_directus.pause()
    with pytest.raises(TimeoutError):
        own_directus.ask("GET", "/users/me", cookie=cookie, within_s=0.3)
    own_directus.resume()
    assert who(own_directus, cookie).status == 200

    own_directus.kill()
    with pytest.raises(ConnectionRefusedError):
        who(own_directus, cookie)
    own_directus.start()
    assert who(own_directus, cookie).status == 200
