"""How newsrooms say that a live blog is over, or that it goes on elsewhere, in the languages that they say it in.

Only set phrases about this blog: a report that says that talks are over, or a link to another blog, must not match.
Gaps are bounded, so that no text takes long to search.
"""

import re

_EN = r"(?:live\s?-?(?:blog|page|feed|stream|coverage|updates?|text|thread)|blog|coverage|rolling\s(?:blog|coverage))"
_THIS = r"(?!(?:previous|earlier|last|older?|first|other|yesterday)\b)"
_DE = r"(?:live-?\s?(?:blog|ticker)|ticker|news-?(?:blog|ticker)|blog|(?:live-?)?berichterstattung)"
_FR = r"(?:(?:live|direct|suivi|liveblog)(?:\sen\sdirect)?|couverture(?:\sen\sdirect)?)"
_IT = r"(?:(?:cronaca\s(?:in\s)?)?diretta|live(?:blog)?|liveblog|cronaca)"
_ES = r"(?:directo|(?:blog\s)?en\s(?:vivo|directo)|minuto\sa\sminuto|cobertura(?:\sen\s(?:vivo|directo))?|transmisi[oó]n|narraci[oó]n)"
_PT = r"(?:cobertura|transmiss[aã]o|acompanhamento|(?:tempo\s)?ao\svivo|direto|minuto\sa\sminuto)(?:\sao\svivo|\sem\stempo\sreal)?"
_NL = r"(?:live-?blog|liveverslag|live|blog)"

CLOSED_TITLE = re.compile(
    r"\bas\sit\shappened\b|\((?:closed|beendet|ended|terminé|concluso|finalizado|encerrado)\)|^\s*\[?closed\]?\s*[:|-]",
    re.IGNORECASE,
)

CLOSED = re.compile(
    rf"""
      \b(?:this|our|the)\s{_THIS}(?:\w+\s)?{_EN}\s(?:is|has)\s(?:now\s|been\s)*
        (?:closed|over|ended|concluded|finished|ending|closing|come\sto\san\send|archived)\b
    | \b(?:we(?:['\u2019]re|\sare|\swill\sbe)|i(?:['\u2019]m|\sam|['\u2019]ll\sbe))\s(?:now\s)?
        (?:closing|wrapping\sup|ending|concluding|pausing)\s(?:down\s)?(?:this|our|the|today['\u2019]s)\s(?:\w+\s)?{_EN}\b
    | \b(?:that['\u2019]s|that\sis)\s(?:all|it)\s(?:from|for)\s(?:us|our|the|this|today['\u2019]s)\b.{{0,30}}{_EN}\b
    | \b(?:this|that)\s(?:concludes|brings\sto\s(?:a\sclose|an\send)|ends)\s(?:our|the|this)\s(?:\w+\s)?{_EN}\b
    | \bwe\shave\s(?:now\s)?(?:closed|ended)\s(?:this|our|the)\s{_THIS}(?:\w+\s)?{_EN}\b
    | \b(?:dieser|der|unser|hiermit\sendet\sunser|damit\sendet\s(?:unser|dieser|der))\s(?:\w+\s)?{_DE}\s?
        (?:(?:ist|wurde|wird)\s(?:nun\s|jetzt\s|hiermit\s|damit\s)*(?:beendet|geschlossen|zu\sende)|endet\s(?:hier|an\sdieser))
    | \b(?:damit|hiermit|wir)\s(?:beenden|schlie(?:ß|ss)en)\s(?:wir\s)?(?:unseren?|diesen?|den|die)\s(?:\w+\s)?{_DE}
    | \b(?:ce|notre|le)\s{_FR}\s(?:est|s['\u2019]ach[eè]ve|se\stermine|touche)\s?(?:(?:d[eé]sormais|maintenant|[aà]\spr[eé]sent)\s)?
        (?:termin[eé]|clos|fini|ferm[eé]|ici|à\ssa\sfin)
    | \bfin\s(?:de\s(?:ce|notre)|du)\s{_FR}
    | \b(?:questa|la|la\snostra|il\snostro|questo)\s{_IT}\s(?:(?:è|e['\u2019]|si\sè)\s(?:\w+\s)?(?:terminat|conclus|chius|finit)[ao]
        |(?:si\s)?(?:conclude|chiude|termina|finisce)\squi)
    | \b(?:si\s)?(?:conclude|chiude|termina|finisce)\squi\s(?:la\snostra|la|questa|il\snostro|questo)\s{_IT}
    | \b(?:este|esta|el|la|nuestr[oa])\s{_ES}\s(?:(?:ha|se\sha)\s(?:terminado|finalizado|concluido|cerrado)
        |(?:está|queda)\s(?:cerrad|finalizad)[oa]|(?:termina|finaliza|concluye)\saqu[ií])
    | \b(?:aqu[ií]|as[ií])\s(?:termina|finaliza|concluye|acaba|cerramos)\s(?:nuestr[oa]|est[ea]|la|el)\s{_ES}
    | \b(?:esta|a|nossa|este|o)\s{_PT}\s(?:(?:est[aá]|foi|fica)\s(?:encerrad|finalizad|conclu[ií]d)[ao]|(?:termina|se\sencerra)\saqui)
    | \b(?:encerramos|termina|finalizamos)\s(?:aqui\s)?(?:esta|a|a\snossa|nossa|este|o)\s{_PT}
    | \b(?:dit|deze|ons|het)\s{_NL}\s(?:is|wordt)\s(?:nu\s|hiermee\s)?(?:gesloten|afgesloten|be[eë]indigd|afgelopen)
    | \bwe\s(?:sluiten|be[eë]indigen)\s(?:dit|ons|hiermee\s(?:dit|ons))\s{_NL}
    """,
    re.IGNORECASE | re.VERBOSE,
)

# A word of each phrase below: quick to look for in every link of a page.
MAY_CONTINUE = re.compile(
    r"live|blog|coverage|ticker|bericht|direct|dire[ct]t|couverture|cronaca|vivo|cobertura|transmis|narraci|acompanh"
    r"|continu|carr|pick|follow|mov|geht|suivre|suite|pros|segu|sig|lees|volg|minuto",
    re.IGNORECASE,
)

# On a page, where many links stand: the whole sentence must be about this coverage going on.
_HERE = rf"""
      \b(?:this|our|the)\s{_THIS}(?:\w+\s)?{_EN}\s(?:has\s|have\s|is\s|will\s|now\s)*
        (?:moved|moving|move|continues?|continued|continuing|carr(?:y|ies|ied)\son)\b
    | \bwe(?:['\u2019]ve|\shave|\sare|['\u2019]re)?\s(?:now\s)?(?:moved|moving|continuing|switched|switching)\b.{{0,60}}\b{_EN}\b
    | \b(?:continue|continuing|keep)\s(?:to\sfollow|following|reading|with)\b.{{0,30}}\b(?:our|the)\s(?:\w+\s)?{_EN}\b
    | \bcontinued\s(?:on|at|in)\s(?:our|the|a)\s(?:new\s|next\s)?{_EN}\b
    | \b(?:follow|join|read|find|see|go\sto|head\s(?:over\s)?to)\b.{{0,30}}\b(?:our|the|a)\snew\s(?:\w+\s)?{_EN}\b
    | \b{_DE}\s(?:geht|läuft|wird)\s.{{0,40}}\b(?:weiter|fortgesetzt)\b
    | \b(?:hier|im\sneuen|in\s(?:einem|unserem)\sneuen)\s(?:{_DE}\s)?geht(?:['\u2019]?s|\ses)\s(?:.{{0,30}}\s)?weiter\b
    | \bneue[mnrs]?\s{_DE}\b.{{0,60}}\b(?:hier|weiter|fort|finden|lesen)
    | \b{_FR}\s(?:se\spoursuit|continue)\b
    | \b(?:suivez|retrouvez|rejoignez|poursuivez)\b.{{0,40}}\bnouveau\s{_FR}
    | \b{_IT}\s(?:continua|prosegue|si\ssposta)\b
    | \b(?:segui|seguite|continua|prosegui)\b.{{0,40}}\bnuov[oa]\s{_IT}
    | \b{_ES}\s(?:contin[uú]a|sigue|prosigue|se\straslada)\b
    | \b(?:sig[aue]n?|contin[uú]e?n?)\b.{{0,40}}\bnuev[oa]\s{_ES}
    | \b{_PT}\s(?:continua|segue|prossegue)\b
    | \b(?:acompanhe|siga|continue)\b.{{0,40}}\bnov[oa]\s{_PT}
    | \b{_NL}\s(?:gaat|wordt)\s.{{0,40}}\b(?:verder|voortgezet)\b
    | \b(?:volg|lees)\b.{{0,40}}\bnieuwe?\s{_NL}
"""
CONTINUES_HERE = re.compile(_HERE, re.IGNORECASE | re.VERBOSE)

# In the newest post, which is about this blog when it says so.
CONTINUES = re.compile(
    rf"""{_HERE}
    | \b(?:continu(?:e|es|ed|ing)|carr(?:y|ies)\son|pick(?:s|ing)?\sup|follow(?:ing)?)\b.{{0,80}}\b(?:here|new\s(?:live\s)?page)\b
    | \b(?:we|our|the|this)\b.{{0,40}}\b(?:moved|moving)\b.{{0,40}}\b(?:to|here)\b
    | \b(?:geht\ses|geht['\u2019]?s)\s.{{0,30}}\bweiter\b
    | \b(?:à\ssuivre|la\ssuite|se\spoursuit|continue)\b.{{0,40}}\bici\b
    | \b(?:continua|prosegue|prosegui|segui)\b.{{0,40}}\bqui\b
    | \b(?:contin[uú]an?|siguen?|siga)\b.{{0,60}}\baqu[ií]\b
    | \b(?:continua|segue|siga|acompanhe)\b.{{0,60}}\baqui\b
    | \b(?:lees|volg|ga)\b.{{0,40}}\b(?:verder|hier)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

# What came before this blog is no continuation of it.
LOOKS_BACK = re.compile(
    r"""\b(?:previous|earlier|yesterday['\u2019]?s?|older|preceding|continued\sfrom|continues\sfrom|catch\sup|recap
        |vorherige[nrs]?|gestrige[nrs]?|bisherige[nrs]?|pr[eé]c[eé]dent|hier\sen\sdirect|précédente|d['\u2019]hier
        |precedente|ieri|anterior|ayer|ontem|vorige|eerdere|gisteren)\b""",
    re.IGNORECASE | re.VERBOSE,
)
