"""The configuration: what it takes, what it refuses and in which words, and that the pages about it are true."""

import re
import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy.engine import make_url

import reference
from alerts import settings
from alerts.config import Config, TransportConfig, doubts, keys, load, shown, signers
from alerts.dispatch.gates import Limits
from alerts.dispatch.rates import Rate
from alerts.errors import ConfigError
from alerts.roles import send
from alerts.settings import Given

ROOT = Path(__file__).parents[1]
BAD = sorted((Path(__file__).parent / "configs" / "bad").glob("*.toml"))
SECRET = "0123456789abcdef0123456789abcdef"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = re.compile(r'"([^"]+)"|([\w-]+)')
PLACES = [
    (*(part or bare for part, bare in _KEYS.findall(heading.strip("[]"))), name)
    for heading, model, _ in reference.sections()
    for name, _ in reference.settings(model)
    if not heading.startswith("[[")
]
VARIABLES = ["ALERTS_" + "__".join(place).upper() for place in PLACES]


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def url_of(config: Config) -> str:
    return config.database.url.get_secret_value()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_the_place_and_what_to_write_instead(path: Path) -> None:
    expected = path.with_suffix(".txt").read_text().strip()
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value).replace(str(path), "config.toml") == expected


def test_no_secret_is_repeated_in_a_refusal() -> None:
    for path in BAD:
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ALERTS_WEB__PORT": "99999"}, "ALERTS_WEB__PORT = 99999: write a number from 0 to 65535"),
        (
            {"ALERTS_TRANSPORT__MAIN__HOTS": "x"},
            'ALERTS_TRANSPORT__MAIN__HOTS is no setting; did you mean "ALERTS_TRANSPORT__MAIN__HOST"?',
        ),
        ({"ALERTS_UNHEARD_OF_THING": "x"}, "ALERTS_UNHEARD_OF_THING is no setting: docs/reference"),
        ({"ALERTS_FEED": "[{]"}, "ALERTS_FEED: no JSON: write tables"),
        (
            {"ALERTS_FEED": '[{"name": "live", "url": "ftp://x"}]'},
            'ALERTS_FEED: feed.live.url = "ftp://x": write',
        ),
        ({"ALERTS_FEED__1__NAME": "x"}, "ALERTS_FEED__1__NAME: the items of a list are numbered from 0"),
        ({"ALERTS_SECRET": "hunter2"}, "ALERTS_SECRET: write 32 characters or more"),
        ({"ALERTS_SECRET_FILE": "/no/such"}, "ALERTS_SECRET_FILE = /no/such: cannot be read"),
        ({"ALERTS_DATABASE__URL": "postgresql://u:hunter2@h/d"}, "secret: must be set"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_environment_wins_over_the_file_setting_by_setting(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[transport.main]\nhost = "smtp.example.org"\nport = 587\n[[feed]]\nname = "live"\nurl = "https://a.example/1"\n',
    )
    environ = {
        "ALERTS_TRANSPORT__MAIN__PORT": "2525",
        "ALERTS_FEED__0__URL": "https://a.example/2",
        "ALERTS_FEED__0__KEY_WORDS": '["breaking", "just in"]',
        "ALERTS_SENDING__RETRY_FIRST": "90s",
        "ALERTS_WEB__ENABLED": "false",
        "ALERTS_SITE__CONTACT": "",
        "ALERTS_CONFIG": "elsewhere.toml",
        "PATH": "/bin",
    }
    config = load(path, environ)
    assert config.transport["main"] == TransportConfig(host="smtp.example.org", port=2525)
    assert (config.feed[0].name, config.feed[0].url) == ("live", "https://a.example/2")
    assert config.feed[0].key_words == ("breaking", "just in")
    assert config.sending.retry_first == timedelta(seconds=90)
    assert config.web.enabled is False


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ('"90s"', 90), ('"5m"', 300), ('"2 h"', 7200), ('"1d"', 86400)],
)
def test_times_are_seconds_or_have_a_unit(tmp_path: Path, written: str, seconds: float) -> None:
    config = load(write(tmp_path, f"[sending]\nretry_most = {written}\n"), {})
    assert config.sending.retry_most.total_seconds() == seconds


def test_secrets_come_from_files_named_in_the_file_or_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "password").write_text("hunter2\n")
    path = write(tmp_path, 'secret_file = "secret"\n[transport.main]\npassword = "old"\n')
    config = load(path, {"ALERTS_TRANSPORT__MAIN__PASSWORD_FILE": "password"})
    assert config.secret.get_secret_value() == SECRET
    assert config.transport["main"].password.get_secret_value() == "hunter2"


def test_relative_paths_start_at_the_file_and_the_database_follows_the_state(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'state_dir = "var"\n[site]\ntemplates = "ours"\n'), {})
    assert config.state_dir == tmp_path / "var"
    assert config.site.templates == tmp_path / "ours"
    assert make_url(url_of(config)).database == str(tmp_path / "var" / "alerts.db")
    named = load(write(tmp_path, '[database]\nurl = "sqlite:///news.db"\n'), {})
    assert make_url(url_of(named)).database == str(tmp_path / "news.db")
    assert make_url(url_of(load(None, {}))).database == str(Path.cwd() / "state" / "alerts.db")


def test_a_password_with_odd_characters_reaches_the_database_driver(tmp_path: Path) -> None:
    path = write(
        tmp_path, f'secret = "{SECRET}"\n[database]\nurl = "postgresql://u:a%40b%2Fc@db.example/news"\n'
    )
    assert make_url(url_of(load(path, {}))).password == "a@b/c"


def test_what_is_shown_hides_every_secret(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f'secret = "{SECRET}"\nold_secrets = ["hunter2"]\n'
        '[database]\nurl = "postgresql://u:hunter2@db.example/news?password=hunter2"\n'
        '[transport.main]\npassword = "hunter2"\n',
    )
    plain = shown(load(path, {}))
    assert "hunter2" not in str(plain)
    assert SECRET not in str(plain)
    assert plain["secret"] == plain["transport"]["main"]["password"] == "(set)"
    assert shown(Config())["secret"] == "(not set)"


def test_a_sqlite_site_makes_its_secret_once_and_for_its_user_only(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path / "state")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: keys(config).pepper, range(8)))
    assert len(set(found)) == 1
    path = tmp_path / "state" / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]
    path.write_text("half")
    with pytest.raises(ConfigError, match="damaged"):
        keys(config)


def test_rates_are_read_by_transport_and_by_domain(tmp_path: Path) -> None:
    text = "[transport.main]\nrate = 100\n[transport.spare]\n"
    text += '[destination."mail.example"]\nrate = 0.5\n[destination."other.example"]\nconnections = 5\n'
    found = send.limits(load(write(tmp_path, text), {}))
    assert found == Limits({"main": Rate(100)}, {"mail.example": Rate(0.5)})
    given_json = {"ALERTS_DESTINATION": '{"mail.example": {"rate": 20, "connections": 5}}'}
    assert send.limits(load(None, given_json)) == Limits({}, {"mail.example": Rate(20)})


def test_old_secrets_keep_the_pepper(tmp_path: Path) -> None:
    first = Config(secret=SecretStr(SECRET), state_dir=tmp_path)
    second = Config(secret=SecretStr(SECRET[::-1]), old_secrets=(SecretStr(SECRET),), state_dir=tmp_path)
    assert keys(first).pepper == keys(second).pepper
    assert keys(first).tokens != keys(second).tokens
    assert not (tmp_path / "secret.key").exists()


def test_dkim_keys_are_read_with_their_domains_and_doubted(tmp_path: Path) -> None:
    old = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    for name, key in (("2025", old), ("2026e", ed25519.Ed25519PrivateKey.generate())):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(pem)
    path = write(
        tmp_path,
        '[site]\nsender = "alerts@news.bücher.example"\n'
        '[dkim.2025]\nkey_file = "2025.pem"\nsign = false\n'
        '[dkim.2026e]\nkey_file = "2026e.pem"\ndomain = "Mail.xn--bcher-kva.example"\n',
    )
    config = load(path, {})
    old_one, new_one = signers(config)
    assert (old_one.name, old_one.is_active) == ("2025._domainkey.news.xn--bcher-kva.example", False)
    assert (new_one.name, new_one.is_active) == ("2026e._domainkey.mail.xn--bcher-kva.example", True)
    assert [line.partition(":")[0] for line in doubts(config)] == ["dkim.2025", "dkim.2026e", "dkim"]
    assert shown(config)["dkim"]["2025"]["key"] == "(set)"
    from_variable = load(
        path, {"ALERTS_DKIM__2025__KEY_FILE": "2026e.pem", "ALERTS_DKIM__2025__SIGN": "true"}
    )
    assert signers(from_variable)[0].algorithm == "ed25519-sha256"
    assert list(doubts(load(None, {}))) == []


@example(("old_secrets",), "one\x85two\u2028three")
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_anywhere_is_taken_or_refused_with_its_place(place: tuple[str, ...], value: Any) -> None:
    tree: dict[str, Any] = {place[-1]: value}
    for key in reversed(place[:-1]):
        tree = {key: tree}
    given_values = Given(Path("/site"))
    given_values.tree = tree
    given_values.mark((), tree, "config.toml")
    try:
        settings.validate(Config, given_values)
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    written = ".".join(key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in place)
    assert all(line.startswith(f"config.toml: {written}") for line in said.splitlines())


@given(
    st.dictionaries(
        st.sampled_from(VARIABLES) | st.text(max_size=12).map("ALERTS_".__add__), st.text(max_size=12)
    )
)
def test_any_environment_is_taken_or_refused(environ: dict[str, str]) -> None:
    try:
        said = str(load(None, environ))
    except ConfigError as error:
        said = str(error)
    assert said


def test_the_documented_file_loads_and_changes_only_what_it_marks() -> None:
    config = load(ROOT / "config.toml", {})
    assert config.transport == {"main": TransportConfig(host="smtp.example.org")}
    assert [(each.name, each.url) for each in config.feed] == [("live", "https://news.example.org/live")]
    assert [each.slug for each in config.topic] == ["all"]
    defaults = load(ROOT / "config.toml", {}).model_copy(
        update={
            name: getattr(Config(), name) for name in ("transport", "feed", "topic", "state_dir", "database")
        }
    )
    assert defaults == Config()


def test_the_documented_file_has_every_setting_at_its_default_with_its_line() -> None:
    text = (ROOT / "config.toml").read_text()
    parts = re.split(r"^(?:# )?(\[.*\])$", text, flags=re.MULTILINE)
    bodies = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    for heading, model, _ in reference.sections():
        for name, setting in reference.settings(model):
            line = re.search(
                rf"^# {re.escape(setting.description or '')}\n(# )?{name} = (.*)$",
                bodies[heading],
                re.MULTILINE,
            )
            assert line is not None, (
                f"{heading} {name}: its line is missing in config.toml, or another is above it"
            )
            if line.group(1) and reference.default(setting):
                assert line.group(2) == reference.default(setting), f"{heading} {name}"
    whole = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    assert set(tomllib.loads(whole)) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("page", "written"), [("config.md", reference.config_page), ("cli.md", reference.cli_page)]
)
def test_the_reference_pages_say_what_the_code_does(page: str, written: Any) -> None:
    assert (reference.REFERENCE / page).read_text() == written(), "run: python tests/reference.py"
