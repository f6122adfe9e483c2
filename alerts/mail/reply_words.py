"""The words in which servers say it, as patterns over what `reply_text.words` makes of a reply's text.

They are kinds of words in the languages of large receivers, not the sentence of one server: a noun and its
state, with a few words between. Names stand there as PATH, ADDR, HOST, IP, URL and ID.
"""
# ruff: noqa: RUF001 - servers also speak Russian

import re


def _says(*phrases: str) -> re.Pattern[str]:
    """Any of the phrases, as whole words."""
    return re.compile("|".join(map(_whole, phrases)))


def _whole(phrase: str) -> str:
    # Chinese and Japanese put no space between words.
    return phrase if re.search(r"[\u3040-\u9fff]", phrase) else rf"(?<!\w)(?:{phrase})(?!\w)"


def _near(one: str, other: str) -> str:
    """One and the other, in either order, with at most four words between."""
    return rf"{_before(one, other)}|{_before(other, one)}"


def _before(one: str, other: str, gap: int = 4) -> str:
    return rf"(?:{one})(?: \w+){{0,{gap}}} (?:{other})"


_BOX = (
    r"mail ?box|in ?box|mail ?drop|mail ?dir|account|user|recipient|postfach|konto|empf(?:a|ae)nger\w*"
    r"|boite|compte|destinataire|buzon|cuenta|usuario|destinatario|casella|utente|caixa|conta"
    r"|ящик|аккаунт|пользовател\w+"
)
_WHO = (
    rf"{_BOX}|e ?mail\w*|address(?:ee)?|alias|customer|subscriber|person|local ?part|adresse|direccion|endereco"
    r"|indirizzo|gebruiker|ontvanger|postbus|adres|benutzer|utilisateur|uzytkownik|odbiorca|skrzynka|mottagare"
    r"|anvandare|modtager|bruger|kullan[iı]c[iı]|адрес|получател\w+"
)
_GONE = (
    r"(?:does not|doesnt|do not|dont|did not|didnt|no longer) exists?|not exist(?:ing|ent)?|non ?exist[ea]nt"
    r"|not (?:found|known|recogni[sz]ed|valid|local|active|present|ok)|couldnt be found|unrecogni[sz]ed"
    r"|unavailable|invalid|unknown|deleted|removed|terminated|has moved|missing|archived"
    r"|existiert nicht|nicht gefunden|nicht bekannt|unbekannt|nicht vorhanden|ungultig"
    r"|inconnue?|inexistante?|introuvable|invalide|n ?existe p(?:as|lus)"
    r"|no existe|desconocid[oa]|no encontrad[oa]|inexistente|invalid[oa]|no valid[oa]"
    r"|non esiste|inesistente|sconosciut[oa]|non trovat[oa]|non valid[oa]"
    r"|nao existe|desconhecid[oa]|nao encontrad[oa]"
    r"|onbekend|bestaat niet|niet gevonden|ongeldig|nie istnieje|nieznany|finns inte|findes ikke|finnes ikke"
    r"|bulunamad[iı]|не найден\w?|не существует|неизвестен"
)
_NO = (
    r"unknown|invalid|non ?exist[ea]nt|unbekannte\w?|onbekende?|ungultige\w?|nieznan[ya]|okand|ukendt|ukjent"
    r"|несуществующ\w+|неизвестн\w+"
)
_DOMAIN = r"host|domain"

GREYLISTED = _says(r"gr[ae]y ?list\w*")
LOOPS = _says(r"too many (?:hops|received|loops)", r"hop count|(?:mail )?loop(?:s|ing|ed)?")
ASKED_SLOWER = _says(
    r"too many (?!hops|received|loops|headers|messages in)\w+|too much \w+",
    r"too (?:fast|frequent(?:ly)?|often|quickly|busy)|slow down|throttl\w+",
    r"rate (?:limit\w*|control\w*|exceeded)|at a rate|(?:un)?usual (?:rate|volume|amount|traffic|sending)",
    r"(?:sending|connection|mail|message|ip|domain|delivery) (?:frequency|rate)|frequency limit\w*",
    r"(?:hourly|daily|sending|submission|outgoing|outbound|connection|recipients?) (?:\w+ )?(?:limits?|quota)",
    r"(?:per|this|last|an|one) (?:second|minute|hour|day|connection|session)",
    r"(?:concurrent|simultaneous|parallel) \w+|unexpected volume|volume of|excessive\w* \w+",
    r"exceed\w* (?:\w+ ){0,3}(?:number|rate|connections?|recipients|messages)",
    r"temporarily deferred|deferred due|over ?load(?:ed)?|load (?:is )?too high|server (?:is )?busy",
    r"zu viele|zu hauf\w+|trop de|demasiad[oa]s|tropp[ie]|muit[oa]s|te veel|слишком (?:много|часто)",
    r"频率|频繁|過多|过多|太多",
)

FULL = _says(
    _near(
        _BOX,
        r"full|over ?full|over ?flow\w*|exceed\w*|size|voll|uberfullt|pleine?|llen[oa]|pien[oa]|chei[oa]|vol"
        r"|заполнен|переполнен\w?",
    ),
    r"quotas?|over ?quota|disk full|storage|too many messages in|квот\w+|saturee?",
    r"(?:out of|insufficient|not enough|no|low|lack of) (?:\w+ )?(?:disk|space|room)",
    _before(
        r"speicher\w*|espace|espacio|spazio|espaco", r"voll|uberschritten|insuf\w+|esaurito|agotado|esgotado"
    ),
    r"已满|已滿|空间不足|容量",
)
TOO_BIG = _says(
    r"too (?:big|large|long)",
    _near(r"size|length|line", r"limits?|exceed\w*|max(?:imum)?|larger"),
    r"zu gross|trop (?:gros|grand|volumineux|long)|demasiado grande|troppo grande|muito grande",
)
CLOSED = _says(
    _near(
        _BOX,
        r"disabled|in ?active|not active|suspended|blocked|locked|frozen|deactivated|closed|expired|dormant"
        r"|discontinued|on hold|administratively|gesperrt|deaktiviert|inaktiv"
        r"|bloquee?|desactivee?|suspendue?|bloquead[oa]|suspendid[oa]|desactivad[oa]|desativad[oa]"
        r"|sospes[oa]|disattivat[oa]|заблокирован\w?|отключен\w?|неактив\w+",
    ),
    r"(?:用户|邮箱|[账帐]号)\w{0,4}(?:停用|冻结|禁用|锁定)",
)
READERS_CHOICE = _says(
    r"(?:recipient|user)s? (?:preferences?|rules?|settings?|rejects?|refuses?)",
    r"blocked by (?:the )?(?:recipient|user)|only accept(?:s|ing)? (?:mail|messages)|members? only",
    r"not accepting any mail",
)

UNAUTHENTIC = _says(r"spf|dkim|dmarc|domain ?keys?|sender ?id|arc|(?:un)?authenticat\w+")
BAD_NAME = _says(
    r"(?:reverse|forward confirmed|bad|invalid) (?:dns|rdns|lookup|host ?names?|mapping|address)",
    r"f?c?rdns|ptr|helo|ehlo|dns check|(?:your|client) host ?name|your (?:reverse|address)",
    r"dial ?up|dynamic(?:ally)?|residential|generic",
)
LISTED = _says(
    r"(?:block|black|deny|reject|bad) ?list\w*|(?<!not )listed (?:by|in|on|at|with)",
    r"(?:dns|r|rhs|ip)?bls?|sbl|xbl|cbl|spam ?haus|spam ?cop|sorbs|cloudmark|uceprotect|surbl|uribl|sender ?score",
    r"blocked|blocking|banned|barred|reputation|untrusted|bloquee?s?|geblockt|запрещ\w+",
)
SPAM = _says(
    r"(?:anti ?)?spam\w*|ube|uce|unsolicited|bulk|junk|phish\w*|virus\w*|malware|malicious|infected|trojan",
    r"suspicio\w*|suspect\w*|abus\w+|complain\w+|scored|unwanted|objectionable|pourriel|спам\w*",
    r"content (?:\w+ )?(?:rejected|denied|refused|blocked|filter\w*|violat\w+|presents)",
    # NetEase's families of reasons, such as DT:SPM.
    r"(?:dt|hl|mi|rp) (?:spm|sum|spf|dmc|rep|icc|ifc|itc|ihu|cel|sfq|nhd|stc|qrc|rbl|fte)",
    r"垃圾|迷惑メール|スパム",
)
SENDER = _says(
    r"senders?|from (?:domain|address|header|field)|valid from|mail ?from|return ?path|envelope|originator",
    r"impersonat\w+|spoof\w*|forged|backscatter|badmailfrom",
    r"expediteur|emetteur|absender\w*|remitente|mittente|remetente|afzender|nadawc\w+|отправител\w+",
    r"发件|發件|寄件|送信者|送信元",
)
NO_PASSAGE = _says(
    r"relay(?:ing|ed|s)?(?! recipient)|rcpthosts|log ?in|logged in|starttls|tls|encrypt\w*|smtp auth\w*",
    r"(?:use|through|via) (?:\w+ ){0,3}(?:server|relay) of|your (?:isp|provider)",
)
POLICY = _says(
    # "Mailbox name not allowed" (RFC 5321, 553) is of the recipient.
    r"polic(?:y|ies)|prohibit\w*|forbidden|(?<!name )not (?:allowed|permitted|authori[sz]ed)",
    r"un ?authori[sz]ed|administrative\w*|security|restrict\w+|politi(?:que|ca|k)|richtlinien?",
    r"verboten|nicht erlaubt|interdit|no permitid[oa]|禁止|拒绝|拒絕",
)
TURNED_AWAY = _says(
    r"access (?:is |was )?denied|zugriff verweigert|acceso denegado|acces refuse|client (?:host|IP)",
    r"(?:connections?|session|smtp service) (?:\w+ ){0,2}(?:refused|rejected|denied|not (?:accepted|allowed))",
    r"not accept(?:ing)? (?:connections?|mails? from|messages? from)|(?<!indicated )no smtp service",
    r"your (?:ip|host|server|domain|network|mail ?server|account|country|organi[sz]ation)",
    r"(?:sending|source|connecting) (?:ip|server|host|domain|address|mta|system)",
    r"(?:invalid )?ip address|invalid ip|mail exchanger",
)
BAD_FORM = _says(
    r"headers?|rfc ?\d*|(?:non ?|not )?compliant|multiple (?:from|subject|addresses)|bare (?:lf|cr|line\w*)",
    r"malformed (?:message|mail|mime)|mime|message id|duplicate\w*|redundant",
)
REJECTED = _says(
    r"reject\w*|denied|refused|not accepted|unacceptable|rejet\w+|refuse|abgelehnt|rechazad[oa]|rifiutat[oa]"
)

TROUBLE = _says(
    r"temporar\w+|try (?:again )?later|try again in|(?:currently|momentarily) \w+|maintenance|shutting down",
    r"timed? ?out|connection (?:lost|reset|dropped)|no route|unreachable|cannot connect|could not connect",
    r"expired|in (?:the )?queue too long|out of memory|name server reply",
    _before(r"system|internal|local|configuration|queue|database|i o|write", r"error|failure|problem", gap=2),
    _before(r"lookup", r"failed|failure|error", gap=1),
    r"plus tard|spater|mas tarde|piu tardi|попробуйте|稍后|しばらく",
)
NO_DOMAIN = _says(
    rf"(?:unknown|no such|non ?existent) (?:{_DOMAIN})s?|nxdomain|name or service not known",
    rf"(?:{_DOMAIN}) (?:HOST )?(?:is )?(?:unknown|invalid|not found|does not exist|doesnt exist)",
    _before(r"domain", r"is unknown|must exist|name not found", gap=5),
    r"(?:could not|couldnt|cannot) find any host|unrout(?:e)?able (?:mail )?(?:address|domain)",
    r"null ?mx|indicated no smtp service|no mail accepted",
    r"(?:does not|doesnt|do not|never) accepts? (?:any )?(?:e ?)?mails?",
)
NOBODY = _says(
    _before(_WHO, _GONE),
    _before(_NO, _WHO, gap=1),
    rf"no (?:such )?(?:{_WHO}|one) (?:\w+ )?(?:here|by that name|with that name|at this|in this|on this)",
    rf"no (?:{_BOX}) (?:for|with|by|under|of) (?:that|this) (?:name|address)",
    r"no such (?:id|recipient|mail ?box|address|account|alias|person|customer|subscriber|e ?mail|local)",
    r"(?:does not|doesnt) have (?:an? )?(?:\w+ ){0,3}(?:account|mail ?box)",
    r"not (?:our|a|an|one of our) (?:valid |known |local )?"
    r"(?:customers?|subscriber|users?|recipient|mail ?box|address)",
    r"(?:bad|illegal) (?:destination )?(?:recipient|mail ?box|address)|not listed in (?:\w+ ){0,2}directory",
    r"no longer (?:on|valid|available|in use|here|accepts|works|employed|with|a customer)|badrcptto",
    r"no existe (?:dich[ao]|es[ae]) \w+|kein(?:e|en)? (?:solche\w* )?(?:benutzer|postfach|empf(?:a|ae)nger)",
    r"нет такого|nie ma takiego",
    r"(?:用户|收件人|邮箱|[账帐]号|地址|使用者|收信人)\w{0,6}不存在|[无無]此|(?:不存在的|找不到)(?:用户|收件人|邮箱)",
    r"(?:ユーザ|宛先|アドレス|受信者|メールボックス)\w{0,12}(?:存在しま|見つかりません|不明)|존재하지",
)
ADDRESS_REJECTED = _says(r"address rejected")
ACCESS_TO_RECIPIENT = _says(r"recipient address rejected access denied")

# The label alone. "No such user here" says more: the server speaks of itself.
_LABEL = r"unknown user|user unknown|no such user(?! (?:\w+ )?here)"
LABEL = _says(_LABEL)
NOBODY_OR_LABEL = _says(NOBODY.pattern, _LABEL)
LABEL_OF_PATH = re.compile(rf"^PATH (?:{_LABEL})(?!\w)")
# A relay quotes the command, or the DATA that followed found no recipient left.
LABEL_AT_RCPT = re.compile(rf"^(?=.*(?:{_whole(_LABEL)}))(?=.*(?:{_whole('rcpt|no valid recipients')}))")
