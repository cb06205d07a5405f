"""What an operator may choose about telephone calls."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import CliSuppress

from server.limits import Limits
from streaming.options import Options

SECRET_LENGTH_MIN = 16


def _network(value: str) -> str:
    ip_network(value, strict=False)
    return value


def _secret(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SECRET_LENGTH_MIN:
        raise ValueError(f"should have {SECRET_LENGTH_MIN} characters or more")
    return value


class TelephonyOptions(Options):
    """Telephone calls: who may send them, and where their text goes. See docs/telephony.md."""

    twilio_token: CliSuppress[SecretStr] = SecretStr("")
    """The auth token with which Twilio signs its requests; then others than Twilio are refused."""
    public_url: Annotated[str, Field(pattern=r"^(wss?://[^/?#\s]+)?$")] = ""
    """What Twilio calls this server, as wss://stt.example; empty: what the request says."""
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
    """From where AudioSocket may come, which knows no keys."""
    webhook_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Told of every call that is over, with its transcript; a call may name another one."""
    webhook_secret: CliSuppress[Annotated[SecretStr, AfterValidator(_secret)]] = SecretStr("")
    """What webhooks are signed with."""
    call_seconds_max: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """Length of a call."""
    calls_max: Annotated[int, Field(ge=1)] = 1000
    """Calls that are over and kept; the oldest goes first, of the key that has most."""
    kept_bytes_max: Annotated[int, Field(ge=0)] = 64 << 20
    """Text of all of them together; beyond it they go in the same order."""
    keep_seconds: Annotated[float, Field(ge=0)] = 600.0
    """For so long a call's finals can be read after its end, and a call can be waited for."""
    finals_max: Annotated[int, Field(ge=1)] = 5000
    """Finals kept of a call; the oldest go first."""
    readers_max: Annotated[int, Field(ge=1)] = 1000
    """Who reads calls at once."""
    readers_key_max: Annotated[int, Field(ge=1)] = 500
    """The same, of one key."""

    def within(self, limits: Limits) -> Limits:
        """What a call may take: it is not given up because it is silent or long."""
        seconds = self.call_seconds_max
        return limits.model_copy(
            update={"session_seconds_max": seconds, "idle_seconds_max": seconds}
        )
