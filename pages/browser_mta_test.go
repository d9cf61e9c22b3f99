//go:build mta

package pages

import (
	"net"
	"strings"
	"testing"

	"dmarcgate/internal/browsertest"
)

// served serves the pages on loopback and returns their address.
func served(t *testing.T, src Source) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(src)
	srv.Handler = free(src)
	go srv.Serve(Limit(ln))
	t.Cleanup(func() { srv.Close() })
	return "http://" + ln.Addr().String()
}

func TestBrowserShowsEachPageWithoutJavaScript(t *testing.T) {
	f := newFixture(t)
	keepReport(t, f)
	base := served(t, f.Source)
	b := browsertest.Start(t)
	b.NoScripts()
	for _, screen := range []struct {
		name  string
		width int
		dark  bool
	}{{"wide", 1280, false}, {"wide-dark", 1280, true}, {"narrow", 390, false}, {"narrow-dark", 390, true}} {
		for _, path := range paths(free(f.Source)) {
			b.Screen(screen.width, 900, screen.dark)
			b.Go(base + path)
			where := screen.name + " " + path
			checkLayout(t, b, where, screen.width)
			checkContrast(t, b, where)
			checkLabels(t, b, where)
		}
	}
	for _, r := range b.Requests() {
		if !strings.HasPrefix(r, base+"/") && r != "about:blank" {
			t.Errorf("the pages ask for %s; want nothing outside %s", r, base)
		}
	}
	if list := b.Complaints(); len(list) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(list, "\n"))
	}
}

// checkLayout sees to it that nothing is cut off to the right.
func checkLayout(t *testing.T, b *browsertest.Browser, where string, width int) {
	t.Helper()
	var wide int
	b.Eval("document.documentElement.scrollWidth", &wide)
	if wide > width {
		t.Errorf("%s is %d px wide; want at most %d", where, wide, width)
	}
	var headings int
	b.Eval("document.querySelectorAll('h1').length", &headings)
	if headings != 1 {
		t.Errorf("%s has %d headings of the first rank; want 1", where, headings)
	}
}

// contrastScript lists texts with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3), and parts of
// charts below 1.3 to 1 with the card behind them.
const contrastScript = `(() => {
	const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => { const f = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
	const low = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || e.closest('svg') || !e.getClientRects().length) continue;
		const r = ratio(parse(getComputedStyle(e).color), back(e));
		if (r < 4.5) low.push(n.data.trim().slice(0, 40) + ' ' + r.toFixed(2));
	}
	for (const e of document.querySelectorAll('svg rect')) {
		const r = ratio(parse(getComputedStyle(e).fill), back(e.closest('.card, body')));
		if (r < 1.3) low.push('rect ' + e.getAttribute('class') + ' ' + r.toFixed(2));
	}
	return [...new Set(low)];
})()`

func checkContrast(t *testing.T, b *browsertest.Browser, where string) {
	t.Helper()
	var low []string
	b.Eval(contrastScript, &low)
	if len(low) > 0 {
		t.Errorf("%s has too little contrast: %s", where, strings.Join(low, "; "))
	}
}

// labelScript lists what a screen reader could not name.
const labelScript = `(() => {
	const bad = [];
	for (const e of document.querySelectorAll('input, select')) if (!e.labels || !e.labels.length) bad.push('no label: ' + e.name);
	for (const e of document.querySelectorAll('svg:not([aria-hidden])')) if (!e.getAttribute('aria-labelledby')?.split(' ').every(i => document.getElementById(i)?.textContent.trim())) bad.push('picture without a name');
	for (const e of document.querySelectorAll('[aria-labelledby]')) for (const i of e.getAttribute('aria-labelledby').split(' ')) if (!document.getElementById(i)) bad.push('no ' + i);
	for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) bad.push('image without alt');
	for (const e of document.querySelectorAll('a, button, summary')) if (!e.textContent.trim()) bad.push('nameless ' + e.outerHTML);
	for (const e of document.querySelectorAll('th')) if (!e.scope) bad.push('th without scope: ' + e.textContent);
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	for (const i of ids) if (ids.indexOf(i) !== ids.lastIndexOf(i)) bad.push('id twice: ' + i);
	if (document.documentElement.lang !== 'en' || !document.title) bad.push('no language or title');
	if (document.querySelectorAll('[aria-current=page]').length !== 1) bad.push('menu does not tell the page');
	return bad;
})()`

func checkLabels(t *testing.T, b *browsertest.Browser, where string) {
	t.Helper()
	var bad []string
	b.Eval(labelScript, &bad)
	if len(bad) > 0 {
		t.Errorf("%s: %s", where, strings.Join(bad, "; "))
	}
}

// focusScript tells what has the focus, and whether that can be seen.
const focusScript = `(() => { const e = document.activeElement, s = getComputedStyle(e); return [e.getAttribute('href') || e.id || e.tagName, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 ? 'seen' : 'unseen']; })()`

// tabTo presses Tab until something has the focus.
func tabTo(t *testing.T, b *browsertest.Browser, want string) {
	t.Helper()
	var at [2]string
	for range 60 {
		b.Press("Tab")
		b.Eval(focusScript, &at)
		if at[1] != "seen" {
			t.Errorf("the focus on %s cannot be seen", at[0])
		}
		if at[0] == want {
			return
		}
	}
	t.Fatalf("Tab does not reach %s; the last was %s", want, at[0])
}

func TestBrowserIsUsedByKeyboardAlone(t *testing.T) {
	f := newFixture(t)
	b := browsertest.Start(t)
	b.NoScripts()
	b.Screen(1280, 900, false)
	b.Go(served(t, f.Source))
	tabTo(t, b, "#main")
	tabTo(t, b, "/decisions")
	b.Enter()
	tabTo(t, b, "author")
	b.Type("bank.example")
	b.Enter()
	var found []string
	b.Eval(`[...document.querySelectorAll('td[data-label="Author domain"]')].map(e => e.textContent)`, &found)
	if len(found) == 0 || strings.Trim(strings.Join(found, ""), "bank.exmpl") != "" {
		t.Errorf("the filter finds %q; want decisions about bank.example", found)
	}
	var first string
	b.Eval(`document.querySelector('tbody a').getAttribute('href')`, &first)
	tabTo(t, b, first)
	b.Enter()
	var tree string
	b.Eval(`document.querySelector('.tree').textContent`, &tree)
	if !strings.Contains(tree, "spf mailfrom: pass") || !strings.Contains(tree, "bank.example") {
		t.Errorf("the page of %s has the tree %q", first, tree)
	}
}

func TestBrowserShowsHostileNamesAsText(t *testing.T) {
	f := newFixture(t)
	for n := range 20 {
		f.store.Add(hostileMail(f.set, 1<<20+1+n))
	}
	f.settle(t)
	b := browsertest.Start(t) // with JavaScript: none may run
	b.Screen(390, 900, false)
	base := served(t, f.Source)
	for _, path := range paths(free(f.Source)) {
		b.Go(base + path)
		checkLayout(t, b, path, 390)
		var foreign int
		b.Eval("document.querySelectorAll('script, b:not(.keys b), iframe, object, embed, [onclick], [style]').length", &foreign)
		if foreign > 0 {
			t.Errorf("%s has %d elements of a stranger", path, foreign)
		}
	}
	if list := b.Complaints(); len(list) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(list, "\n"))
	}
}
