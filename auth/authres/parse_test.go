package authres

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

func props(parts ...string) (out []Property) {
	for i := 0; i < len(parts); i += 3 {
		out = append(out, Property{parts[i], parts[i+1], parts[i+2]})
	}
	return out
}

func TestParseResults(t *testing.T) {
	tests := []struct {
		name, body string // behind "mx.example.org; "
		want       Result
	}{
		{"method and result", "dmarc=pass", Result{Method: "dmarc", Value: "pass"}},
		{"capitals", "DMARC=Pass Header.From=Shop.Example", Result{Method: "dmarc", Value: "pass", Properties: props("header", "from", "Shop.Example")}},
		{"space everywhere", "spf = pass\treason = x smtp . mailfrom = y.example ", Result{Method: "spf", Value: "pass", Reason: "x", Properties: props("smtp", "mailfrom", "y.example")}},
		{"comments everywhere", "(a)spf(b)=(c)pass(d)(e)reason(f)=(g)x(h)smtp(i).(j)mailfrom(k)=(l)y.example(m)", Result{Method: "spf", Value: "pass", Comment: "d", Reason: "x", Properties: props("smtp", "mailfrom", "y.example")}},
		{"folds", "spf=pass\r\n\tsmtp.mailfrom=y.example\r\n (z)", Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "y.example")}},
		{"a fold of LF alone", "spf=pass\n smtp.mailfrom=y.example", Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "y.example")}},
		{"a method version", "dkim/1=pass", Result{Method: "dkim", Value: "pass"}},
		{"a method version in space", "dkim / 01 = pass", Result{Method: "dkim", Value: "pass"}},
		{"semicolons in a comment", "dmarc=pass (p=none; dis=none) header.from=x", Result{Method: "dmarc", Value: "pass", Comment: "p=none; dis=none", Properties: props("header", "from", "x")}},
		{"a nested comment with escapes", `dkim=fail (a (b \) ) "c")`, Result{Method: "dkim", Value: "fail", Comment: `a (b ) ) "c"`}},
		{"semicolons in quotes", `dkim=fail reason="a; \"b\" (c" header.d="d;e"`, Result{Method: "dkim", Value: "fail", Reason: `a; "b" (c`, Properties: props("header", "d", "d;e")}},
		{"reason behind properties", "dkim=fail header.d=x reason=y", Result{Method: "dkim", Value: "fail", Reason: "y", Properties: props("header", "d", "x")}},
		{"an address", "spf=pass smtp.mailfrom=x+y=z@y.example", Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "x+y=z@y.example")}},
		{"no local-part", "dkim=pass header.i=@y.example", Result{Method: "dkim", Value: "pass", Properties: props("header", "i", "@y.example")}},
		{"a quoted local-part", `spf=pass smtp.mailfrom="x \";y"@y.example`, Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", `"x \";y"@y.example`)}},
		{"a quoted address", `spf=pass smtp.mailfrom="x@y.example"`, Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "x@y.example")}},
		{"the null path", `spf=pass smtp.mailfrom=<>`, Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "<>")}},
		{"base64 without quotes", "dkim=pass header.b=x/4+tz8w==", Result{Method: "dkim", Value: "pass", Properties: props("header", "b", "x/4+tz8w==")}},
		{"IPv6 without quotes", "arc=pass smtp.remote-ip=2001:db8::25", Result{Method: "arc", Value: "pass", Properties: props("smtp", "remote-ip", "2001:db8::25")}},
		{"an empty value", "dkim=pass header.i= (x) ; ", Result{Method: "dkim", Value: "pass"}},
		{"an empty value in quotes", `dkim=pass header.i="" header.d=x`, Result{Method: "dkim", Value: "pass", Properties: props("header", "d", "x")}},
		{"an empty clause without a type", "dmarc=pass action=", Result{Method: "dmarc", Value: "pass"}},
		{"a clause without a type", "dmarc=pass action=none header.from=x", Result{Method: "dmarc", Value: "pass", Properties: props("header", "from", "x")}},
		{"an underscore", "dmarc=pass policy.override_reason=x", Result{Method: "dmarc", Value: "pass", Properties: props("policy", "override_reason", "x")}},
		{"UTF-8", "spf=pass smtp.mailfrom=\u00fc@b\u00fccher.example", Result{Method: "spf", Value: "pass", Properties: props("smtp", "mailfrom", "\u00fc@b\u00fccher.example")}},
		{"bytes that are not to be printed", "spf=fail (a\x1b\xff\tb) reason=\"\u2028\\\x07\" smtp.mailfrom=x\u0085", Result{Method: "spf", Value: "fail", Comment: "a?? b", Reason: "??", Properties: props("smtp", "mailfrom", "x?")}},
		{"a long name of a property is left out", "spf=pass x." + strings.Repeat("y", MaxKeyword+1) + "=z x.y=z", Result{Method: "spf", Value: "pass", Properties: props("x", "y", "z")}},
		{"a long value is left out", "spf=pass x.y=" + strings.Repeat("z", MaxValue+1) + " x.y=z", Result{Method: "spf", Value: "pass", Properties: props("x", "y", "z")}},
		{"long texts are cut", "spf=pass (" + strings.Repeat("a", 999) + ") reason=" + strings.Repeat("b", 999), Result{Method: "spf", Value: "pass", Comment: strings.Repeat("a", MaxText-3) + "...", Reason: strings.Repeat("b", MaxText-3) + "..."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, end := range []string{"", ";", " ;\r\n ", ";;\r\n"} {
				want := Field{ID: "mx.example.org", Results: []Result{tt.want}}
				if got, err := Parse(" mx.example.org; " + tt.body + end); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.body+end, got, err, want)
				}
			}
		})
	}
}

// What stands between good results must not hide them, and is not guessed.
func TestParseSkipsUnreadableResult(t *testing.T) {
	for _, bad := range []string{
		"(null)=pass", "=pass", "spf", "spf=", "spf pass", "spf==pass", "spf=pass,", "spf=pass x", `spf="pass"`, "s.pf=pass", "spf=pass)",
		"dkim/2=pass", "dkim/=pass", "dkim/x=pass", "dkim/1/1=pass", "dkim=pass header.d", "dkim=pass .d=x", "dkim=pass header.=x", "dkim=pass header.d.e=x",
		"dkim=pass header.i=x@y, header.d=y", `dkim=pass header.d=x"y;z"`, `dkim=pass header.d="x"y`, `dkim=pass header.d=x\`, "dkim=pass header.i= header.d=x",
		"none=", "none x", "x; y", strings.Repeat("m", MaxKeyword+1) + "=pass", "dmarc=pass " + strings.Repeat("(", 51) + strings.Repeat(")", 51), "sp\x01f=pass", "\u00fc=pass", "dkim=pass header.d=x\x7f",
	} {
		got, err := Parse("mx; spf=none;" + bad + "; dmarc=none")
		want := []Result{{Method: "spf", Value: "none"}, {Method: "dmarc", Value: "none"}}
		skipped := 1
		if bad == "x; y" {
			skipped = 2
		}
		if err != nil || !reflect.DeepEqual(got.Results, want) || got.Skipped != skipped {
			t.Errorf("Parse(… %q …) = %+v, %v; want %+v and %d skipped", bad, got, err, want, skipped)
		}
	}
}

func TestParseStopsAtUnterminatedQuoteOrComment(t *testing.T) {
	for _, bad := range []string{"dkim=fail header.d=example.net(.example.com", `dkim=fail reason="x`, "dkim=fail (x", `dkim=fail x.y=z\"`, `dkim=fail (x\`, `dkim=fail ,"x`, "dkim=fail , (x"} {
		got, err := Parse("mx; spf=none; " + bad + "; dmarc=pass header.from=bank.example")
		if want := []Result{{Method: "spf", Value: "none"}}; err != nil || !reflect.DeepEqual(got.Results, want) || got.Skipped != 1 {
			t.Errorf("Parse(… %q …) = %+v, %v; want %+v and 1 skipped", bad, got, err, want)
		}
	}
}

func TestParseFieldsWithoutResults(t *testing.T) {
	for _, body := range []string{"mx.example.org", "mx.example.org;", ` "mx.example.org"`, "(c) mx.example.org", "MX.example.org. 1 (c)", " mx.example.org; none", "mx.example.org; (a) None (b) ;\r\n", "mx.example.org;;; ;", `"mx.example.org/4x9"; none`} {
		if got, err := Parse(body); err != nil || !reflect.DeepEqual(got, Field{ID: "mx.example.org"}) {
			t.Errorf("Parse(%q) = %+v, %v; want an empty field of mx.example.org", body, got, err)
		}
	}
}

func TestParseRejects(t *testing.T) {
	long := "mx; x=y (" + strings.Repeat("a", MaxField) + ")"
	for body, want := range map[string]error{
		"": errID, ";": errID, "; spf=pass": errID, "spf=pass; dkim=pass": errID, `""; none`: errID, "(mx": errID, `"mx`: errID, "mx/1; none": errID, `"mx"x; none`: errID, "mx,": errID, strings.Repeat("a", MaxID+1): errID,
		"mx 2; spf=pass": errVersion, "mx 1 1; spf=pass": errVersion, "mx spf=pass": errVersion, "mx (x": errID, "mx 1 (x": errVersion,
		"mx; spf=pass\x00": errBreak, "mx; spf=pass\ndkim=pass": errBreak, "mx; spf=pass\r dkim=pass": errBreak, "mx; spf=pass \"\\\r\": x\"": errBreak, "mx\n": errBreak,
		long: errLong,
	} {
		if got, err := Parse(body); err != want || got.ID != "" || got.Results != nil {
			t.Errorf("Parse(%.40q) = %+v, %v; want %v", body, got, err, want)
		}
	}
}

// The shape of two large senders, and what auth/arc hands over.
func TestParseARCAuthenticationResults(t *testing.T) {
	_, payload, _ := strings.Cut(" i=1; mx.outlook.example 1; spf=pass (sender ip is 192.0.2.9)\r\n smtp.rcpttodomain=y.example smtp.mailfrom=shop.example; dmarc=pass\r\n (p=reject sp=reject pct=100) action=none header.from=shop.example; dkim=pass\r\n (signature was verified) header.d=shop.example; arc=none (0)\r\n", ";")
	got, err := Parse(payload)
	want := Field{ID: "mx.outlook.example", Results: []Result{
		{Method: "spf", Value: "pass", Comment: "sender ip is 192.0.2.9", Properties: props("smtp", "rcpttodomain", "y.example", "smtp", "mailfrom", "shop.example")},
		{Method: "dmarc", Value: "pass", Comment: "p=reject sp=reject pct=100", Properties: props("header", "from", "shop.example")},
		{Method: "dkim", Value: "pass", Comment: "signature was verified", Properties: props("header", "d", "shop.example")},
		{Method: "arc", Value: "none", Comment: "0"},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(%q) = %+v, %v; want %+v", payload, got, err, want)
	}
	if got := want.Results[1].Get("header", "from"); got != "shop.example" {
		t.Errorf("Get(header, from) = %q; want shop.example", got)
	}
	if got := want.Results[1].Get("header", "d"); got != "" {
		t.Errorf("Get(header, d) = %q; want nothing", got)
	}
}

func TestParseLimits(t *testing.T) {
	got, err := Parse("mx" + strings.Repeat("; a=b"+strings.Repeat(" c.d=e", MaxProperties+9), MaxResults+9))
	if err != nil || len(got.Results) != MaxResults || got.Skipped != 9 || len(got.Results[0].Properties) != MaxProperties {
		t.Errorf("Parse() = %d results, %d skipped, %v; want %d and 9", len(got.Results), got.Skipped, err, MaxResults)
	}
}

// hostile are pieces that, repeated, make a careless reader slow.
var hostile = []string{"(", "()", "(\\", "\"", "\"\"", "\\", "a", "a.", "\"a", "\u00fc", "\r\n ", " ", " 1", "/", ";", "; (", "; \"", ";a", ";a=b", ";a=b c", "; a=b c.d=\"e", ".", "=", "@", "a@", " a.b=c"}

func TestParseWorkIsLinear(t *testing.T) {
	const size = 16 << 10
	for _, piece := range hostile {
		for _, before := range []string{"", "\"", "(", "mx ", "mx;", "mx; a=b ", "mx; a=b (", "mx; a=b c.d=", "mx; a=b c.d=\""} {
			body := before + strings.Repeat(piece, size/len(piece))
			s, err := open(body)
			if err == nil {
				s.field()
			}
			if most := 8*len(body) + 16; s.steps > most {
				t.Errorf("Parse of %q and repeated %q looked at %d bytes; want %d at most for %d bytes", before, piece, s.steps, most, len(body))
			}
		}
	}
}

func TestParseAllocationsAreBounded(t *testing.T) {
	for _, piece := range hostile {
		body := "mx; a=b " + strings.Repeat(piece, 32<<10/len(piece))
		if n := testing.AllocsPerRun(3, func() { Parse(body) }); n > float64(len(body)/16) {
			t.Errorf("Parse of repeated %q makes %.0f allocations for %d bytes; want fewer", piece, n, len(body))
		}
	}
}

func TestFormatWritesARCResult(t *testing.T) {
	for ip, written := range map[string]string{"2001:db8::25": `"2001:db8::25"`, "192.0.2.1": "192.0.2.1"} {
		r := Result{Method: "arc", Value: "pass", Properties: props("smtp", "remote-ip", ip, "header", "oldest-pass", "0")}
		body := Format("mx.example.org", []Result{r})
		if want := " mx.example.org;\r\n arc=pass smtp.remote-ip=" + written + " header.oldest-pass=0"; body != want {
			t.Errorf("Format(%+v) = %q; want %q", r, body, want)
		}
		if got, err := Parse(body); err != nil || !reflect.DeepEqual(got.Results, []Result{r}) {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", body, got, err, r)
		}
	}
}

// random makes results of text that Format writes as it is.
func random(rng *rand.Rand) []Result {
	const keyword, visible = "abcdefghijklmnopqrstuvwxyz0123456789", "abc.@=/:;,()<>[]\"\\ ?'-_%+~|#"
	word := func(letters string, most int) string {
		b := make([]byte, 1+rng.IntN(most))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	maybe := func(s string) string { return s[:len(s)*rng.IntN(2)] }
	results := make([]Result, 1+rng.IntN(6))
	for i := range results {
		r := Result{Method: word(keyword, MaxKeyword), Value: word(keyword, 8), Comment: maybe(word(visible, MaxText)), Reason: maybe(word(visible, MaxText))}
		for range rng.IntN(5) {
			r.Properties = append(r.Properties, Property{word(keyword, 8), word(keyword, 8), word(visible, 40)})
		}
		results[i] = r
	}
	return results
}

func TestFormatParseRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		want := Field{ID: "mx.example.org", Results: random(rng)}
		body := Format(want.ID, want.Results)
		got, err := Parse(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("Parse(%q) = %+v, %v; want %+v", body, got, err, want)
		}
	}
}

// isText reports whether s can stand in a line of a log.
func isText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) < 0
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"mx; (null)=pass", "mx; dmarc=pass (p=none; dis=none) header.from=x", `"mx.example.org"`, "(c) mx.example.org", "mx; spf = pass", "mx; dkim/1=pass",
		"mx; dkim=pass header.d=example.net(.example.com", `mx 1; spf=fail reason="a\"b" smtp.mailfrom="x y"@z.example; arc=pass smtp.remote-ip=2001:db8::25;`,
		"b\u00fccher.example;\r\n\tspf=pass\n smtp.mailfrom=\u00fc\xff\u0085@x", "mx; a=b c.d=\"\\", "mx; none", "mx; a=b c.d= e.f=g", Format("mx.example.org", sample),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := Parse(body)
		if len(body) <= MaxField && (err == nil) == Claims(body, nil) {
			t.Errorf("Parse(%q) = %v, and Claims says %t; one reader, one answer", body, err, err == nil)
		}
		if err != nil {
			return
		}
		if !Claims(body, []string{got.ID}) {
			t.Errorf("Parse(%q) has the id %q; Claims does not see it", body, got.ID)
		}
		if s, err := open(body); err == nil {
			if s.field(); s.steps > 8*len(body)+16 {
				t.Errorf("Parse(%q) looked at %d bytes of %d", body, s.steps, len(body))
			}
		}
		checkRead(t, got)
		// What was read and can be written reads the same again.
		first, err := Parse(Format(got.ID, got.Results))
		if err != nil {
			t.Fatalf("Parse(Format(%+v)): %v", got, err)
		}
		second, err := Parse(Format(first.ID, first.Results))
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%q is read as %+v, written and read again as %+v, %v", body, first, second, err)
		}
		if representable(got) && !reflect.DeepEqual(got.Results, first.Results) {
			t.Errorf("%q is read as %+v, written and read again as %+v", body, got, first)
		}
	})
}

// checkRead holds what the documentation says of a Field.
func checkRead(t *testing.T, f Field) {
	t.Helper()
	texts := []string{f.ID}
	for _, r := range f.Results {
		texts = append(texts, r.Method, r.Value, r.Comment, r.Reason)
		for _, p := range r.Properties {
			texts = append(texts, p.Type, p.Name, p.Value)
			if p.Value == "" || len(p.Value) > MaxValue || !fits(p.Type) || !fits(p.Name) {
				t.Errorf("property %+v; want limits kept", p)
			}
		}
		if !fits(r.Method) || !fits(r.Value) || len(r.Comment) > MaxText || len(r.Reason) > MaxText || len(r.Properties) > MaxProperties {
			t.Errorf("result %+v; want limits kept", r)
		}
	}
	if len(f.Results) > MaxResults {
		t.Errorf("%d results; want %d at most", len(f.Results), MaxResults)
	}
	for _, s := range texts {
		if !isText(s) {
			t.Errorf("field %+v has the text %q", f, s)
		}
	}
}

// representable reports whether Format writes all of f: ASCII, no "_" in names.
func representable(f Field) bool {
	ok := true
	for _, r := range f.Results {
		ok = ok && isKeyword(r.Method) && isKeyword(r.Value) && clean(r.Comment) == r.Comment && clean(r.Reason) == r.Reason
		for _, p := range r.Properties {
			ok = ok && isKeyword(p.Type) && isKeyword(p.Name) && clean(p.Value) == p.Value
		}
	}
	return ok
}

func BenchmarkParse(b *testing.B) {
	body := Format("mail.other.example", sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
