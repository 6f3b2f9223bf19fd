"""Which MAC addresses moved, told by the addresses that the kernel has for them."""

from __future__ import annotations

from ipaddress import IPv4Address

from lasthop.policy.whereabouts import Whereabouts

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
Seen = tuple[str, str, IPv4Address]


def at(number: int, mac: str, leg: str = "outside") -> Seen:
    return leg, mac, IPv4Address("192.0.2.0") + number


def moves(*observations: list[Seen], known: tuple[Seen, ...] = ()) -> list[list[tuple[str, str, str]]]:
    whereabouts = Whereabouts(known)
    return [whereabouts.moves(each) for each in observations]


def test_a_neighbour_that_is_new_moved_from_nowhere() -> None:
    assert moves([at(1, A)], [at(1, A), at(2, B)]) == [[], []]


def test_a_mac_address_moves_with_its_only_address() -> None:
    assert moves([at(1, A)], [at(1, B)], [at(1, A)]) == [[], [("outside", A, B)], [("outside", B, A)]]


def test_a_mac_address_moves_with_the_last_of_its_addresses() -> None:
    assert moves([at(1, A), at(2, A)], [at(1, B), at(2, A)], [at(1, B), at(2, B)]) == [[], [], [("outside", A, B)]]


def test_addresses_that_leave_together_for_one_place_are_a_move() -> None:
    assert moves([at(1, A), at(2, A)], [at(1, B), at(2, B)])[1] == [("outside", A, B)]


def test_addresses_that_leave_together_for_two_places_tell_nothing() -> None:
    assert moves([at(1, A), at(2, A)], [at(1, B), at(2, C)])[1] == []


def test_stations_that_swap_their_addresses_are_no_move() -> None:
    assert moves([at(1, A), at(2, B)], [at(1, B), at(2, A)])[1] == []


def test_a_move_to_a_place_that_is_left_at_once_is_one_move_at_most() -> None:
    assert moves([at(1, A), at(2, B)], [at(1, B), at(2, C)])[1] == [("outside", A, B)]


def test_an_address_that_is_not_known_for_a_while_moved_from_where_it_was_seen_last() -> None:
    assert moves([at(1, A)], [], [at(1, B)])[2] == [("outside", A, B)]
    assert moves([at(1, A), at(2, A)], [at(1, B)])[1] == [("outside", A, B)], "it holds nobody where it was"


def test_legs_are_told_apart() -> None:
    assert moves([at(1, A), at(1, A, "inside")], [at(1, B), at(1, A, "inside")])[1] == [("outside", A, B)]


def test_what_an_earlier_process_noted_counts() -> None:
    assert moves([at(1, B)], known=(at(1, A),)) == [[("outside", A, B)]]


def test_absent_addresses_without_a_hop_are_forgotten_once_they_are_many() -> None:
    whereabouts = Whereabouts()
    crowd = [at(number, f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}") for number in range(3, 2000)]
    whereabouts.moves([at(1, A), at(2, B), *crowd])
    whereabouts.moves([at(1, A)])
    whereabouts.tidy(lambda: {("outside", B)}, [at(1, A)])
    assert whereabouts.moves([at(1, A), at(2, C), at(3, C)]) == [("outside", B, C)]
