"""Which addresses a person's own model server may have: public ones, and those that an operator allows.

A name is resolved once, by the transport that connects to what was checked here; one bad address of several spoils all.
What stands for an IPv4 address (mapped, compatible, NAT64, 6to4) is judged as that one. Of IPv6 only global unicast is
public, and of what `ipaddress` calls global not what belongs to the network in between.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AI_NUMERICHOST, gaierror, getaddrinfo

Address = IPv4Address | IPv6Address

_NAT64, _UNICAST = ip_network("64:ff9b::/96"), ip_network("2000::/3")
_SPECIAL = tuple(
    ip_network(one)
    for one in (
        "168.63.129.16/32",  # a cloud's own, as 169.254.169.254 is
        "192.0.0.0/24",
        "192.88.99.0/24",
        "3fff::/20",
    )
)
_IPV4_BITS = 32


class NotAllowed(OSError):
    """An address is not public, and nobody allows it. Nothing was connected to."""


def may_be_asked(host: str, networks: Iterable[str]) -> bool:
    """Whether a host, as it is written, may be public or allowed: an address says it itself, a name later.

    Nothing is looked up: also what only some systems take for an address (`127.1`) is one here.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        host = "127.0.0.1"
    try:
        found = getaddrinfo(host, None, flags=AI_NUMERICHOST)
    except (gaierror, UnicodeError):
        return True
    return all(map(reaches(networks), (str(one[4][0]) for one in found)))


def reaches(networks: Iterable[str]) -> Callable[[str], bool]:
    """Says of addresses whether they are public or in one of these networks."""
    allowed = [ip_network(one, strict=False) for one in networks]

    def may(address: str) -> bool:
        meant = unwrapped(ip_address(address))
        return any(meant in one for one in allowed) or is_public(meant)

    return may


def is_public(address: Address) -> bool:
    """Whether an address, unwrapped, is anybody's on the internet."""
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    special = address.is_multicast or any(address in one for one in _SPECIAL)
    return address.is_global and not special


def unwrapped(address: Address) -> Address:
    """The address that is meant by one that holds another."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    compatible = number >> _IPV4_BITS == 0
    if compatible or address.ipv4_mapped is not None or address in _NAT64:
        return IPv4Address(number % (1 << _IPV4_BITS))
    return address.sixtofour or address
