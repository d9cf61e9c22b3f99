package authres

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var sample = []Result{
	{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "bounce.shop.example"}}},
	{Method: "dkim", Value: "pass", Comment: "2048-bit key", Properties: []Property{
		{"header", "d", "shop.example"}, {"header", "s", "s1"}, {"header", "a", "rsa-sha256"}, {"header", "b", "Qm9vazEy"}}},
	{Method: "dmarc", Value: "pass", Comment: "p=reject dis=none", Properties: []Property{
		{"policy", "dmarc", "reject"}, {"header", "from", "shop.example"}}},
}

func TestFormatPutsEachResultOnItsLine(t *testing.T) {
	want := " mx.example.org;\r\n" +
		" spf=pass smtp.mailfrom=bounce.shop.example;\r\n" +
		" dkim=pass (2048-bit key) header.d=shop.example header.s=s1 header.a=rsa-sha256 header.b=Qm9vazEy;\r\n" +
		" dmarc=pass (p=reject dis=none) policy.dmarc=reject header.from=shop.example"
	if got := Format("mx.example.org", sample); got != want {
		t.Errorf("Format(sample) =\n%q; want\n%q", got, want)
	}
}

func TestFormatWritesIDs(t *testing.T) {
	tests := []struct{ name, id, want string }{
		{"a domain", "mx.example.org", " mx.example.org; none"},
		{"case is kept", "MX.example.org", " MX.example.org; none"},
		{"U-labels become A-labels", "mx.bücher.example", " mx.xn--bcher-kva.example; none"},
		{"a slash is quoted", "mx.example.org/4x9", ` "mx.example.org/4x9"; none`},
		{"a quote is escaped", `a"b\`, ` "a\"b\\"; none`},
		{"no id", "", ` ""; none`},
		{"line breaks", "a\r\nb", ` "a??b"; none`},
		{"bytes that are not UTF-8", "a\xffb", ` "a?b"; none`},
		{"a long one is cut", strings.Repeat("a", MaxID+1), " " + strings.Repeat("a", MaxID) + "; none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Format(tt.id, nil); got != tt.want {
				t.Errorf("Format(%q, nil) = %q; want %q", tt.id, got, tt.want)
			}
		})
	}
}

func TestFormatWritesValues(t *testing.T) {
	tests := []struct{ name, value, want string }{ // want is what follows "spf=pass"
		{"a domain", "y.example", " smtp.mailfrom=y.example"},
		{"an address", "x@y.example", " smtp.mailfrom=x@y.example"},
		{"an address with a tag", "b+x=z.example/1@y.example", " smtp.mailfrom=b+x=z.example/1@y.example"},
		{"an identity without local-part", "@y.example", " smtp.mailfrom=@y.example"},
		{"a quoted local-part is quoted as a whole", `"x y"@y.example`, ` smtp.mailfrom="\"x y\"@y.example"`},
		{"two ats", "a@b@c", ` smtp.mailfrom="a@b@c"`},
		{"no domain", "a@", ` smtp.mailfrom="a@"`},
		{"dots at the ends", ".a@b.", ` smtp.mailfrom=".a@b."`},
		{"IPv6", "2001:db8::25", ` smtp.mailfrom="2001:db8::25"`},
		{"IPv4", "192.0.2.1", " smtp.mailfrom=192.0.2.1"},
		{"base64 with a slash", "x/4Rtz81", ` smtp.mailfrom="x/4Rtz81"`},
		{"base64 with an equals sign", "4Rtz8w==", ` smtp.mailfrom="4Rtz8w=="`},
		{"base64 with a plus sign", "x+4Rtz81", " smtp.mailfrom=x+4Rtz81"},
		{"a semicolon", "a; dmarc=pass", ` smtp.mailfrom="a; dmarc=pass"`},
		{"a comment", "y.example(.w.example", ` smtp.mailfrom="y.example(.w.example"`},
		{"quotes", `a" b="c\`, ` smtp.mailfrom="a\" b=\"c\\"`},
		{"a header of one's own", "a\r\nX: b", ` smtp.mailfrom="a??X: b"`},
		{"NUL", "a\x00b", ` smtp.mailfrom="a?b"`},
		{"8-bit characters", "bücher", ` smtp.mailfrom="b?cher"`},
		{"nothing is left out", "", ""},
		{"the longest address", strings.Repeat("a", 64) + "@" + strings.Repeat("b", 255), "\r\n smtp.mailfrom=" + strings.Repeat("a", 64) + "@" + strings.Repeat("b", 255)},
		{"a longer one is left out", strings.Repeat("a", MaxValue+1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Format("mx", []Result{{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", tt.value}}}})
			if want := " mx;\r\n spf=pass" + tt.want; got != want {
				t.Errorf("Format(smtp.mailfrom %q) = %q; want %q", tt.value, got, want)
			}
		})
	}
}

func TestFormatWritesCommentsAndReasons(t *testing.T) {
	tests := []struct {
		name   string
		result Result
		want   string
	}{
		{"a comment before the reason", Result{Comment: "c", Reason: "no match"}, ` (c) reason="no match"`},
		{"a reason of one word", Result{Reason: "nomatch"}, " reason=nomatch"},
		{"parentheses in a comment", Result{Comment: `a) (b\`}, ` (a\) \(b\\)`},
		{"quotes in a reason", Result{Reason: `a" b\`}, ` reason="a\" b\\"`},
		{"line breaks", Result{Comment: "a\r\nb", Reason: "c\r\n\x00"}, ` (a??b) reason="c???"`},
		{"a long comment is cut", Result{Comment: strings.Repeat("a", 1000)}, "\r\n (" + strings.Repeat("a", MaxText-3) + "...)"},
		{"a long reason is cut", Result{Reason: strings.Repeat("a ", 500)}, "\r\n reason=\"" + strings.Repeat("a ", MaxText/2)[:MaxText-3] + "...\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.result.Method, tt.result.Value = "dmarc", "fail"
			if got, want := Format("mx", []Result{tt.result}), " mx;\r\n dmarc=fail"+tt.want; got != want {
				t.Errorf("Format(%+v) = %q; want %q", tt.result, got, want)
			}
		})
	}
}

func TestFormatLeavesOutWhatHasNoName(t *testing.T) {
	long := strings.Repeat("a", MaxKeyword+1)
	for _, bad := range []string{"", "a b", "a_b", "a.b", "-a", "a-", "a=b", "a;b", "a\r\nb", "é", long} {
		results := []Result{
			{Method: bad, Value: "pass"},
			{Method: "spf", Value: bad},
			{Method: "dkim", Value: "pass", Properties: []Property{{bad, "d", "x"}, {"header", bad, "x"}, {"header", "d", "y"}}},
		}
		want := " mx;\r\n dkim=pass header.d=y"
		if got := Format("mx", results); got != want {
			t.Errorf("Format with the name %q = %q; want %q", bad, got, want)
		}
	}
	if got, want := Format("mx", []Result{{}}), " mx; none"; got != want {
		t.Errorf("Format with the zero Result = %q; want %q", got, want)
	}
}

func TestFormatIsBounded(t *testing.T) {
	var properties []Property
	for i := range 100 {
		properties = append(properties, Property{"header", fmt.Sprint("p", i), strings.Repeat(`"`, MaxValue)})
	}
	var results []Result
	for range 1000 {
		results = append(results, Result{"dkim", "pass", strings.Repeat("(", 1000), strings.Repeat(`"`, 1000), properties})
	}
	got := Format(strings.Repeat(`"`, 1000), results)
	if n := strings.Count(got, "dkim=pass"); n != MaxResults {
		t.Errorf("%d results; want %d", n, MaxResults)
	}
	if n := strings.Count(got, "header.p"); n != MaxResults*MaxProperties {
		t.Errorf("%d properties; want %d", n, MaxResults*MaxProperties)
	}
	if err := check(got); err != nil {
		t.Error(err)
	}
}

func TestFormatFoldsBetweenParts(t *testing.T) {
	r := Result{Method: "dkim", Value: "fail", Reason: strings.Repeat("word ", 10), Properties: []Property{
		{"header", "d", strings.Repeat("d", 60)}, {"header", "s", strings.Repeat("s", 60)}, {"header", "b", "Qm9v"}}}
	for line := range strings.SplitSeq(Format("mx", []Result{r, r}), "\r\n") {
		if len(line) > lineLength {
			t.Errorf("line of %d bytes %q; want at most %d", len(line), line, lineLength)
		}
	}
}

var resultForm = regexp.MustCompile(`^[a-zA-Z0-9-]+=[a-zA-Z0-9-]+( C)?( reason=(Q|[^ ;()"]+))?( [a-zA-Z0-9-]+\.[a-zA-Z0-9-]+=(Q|[^ ;()"]+))*$`)

// check reports what is wrong with a field body, reading it anew: it unfolds,
// puts C for comments and Q for quoted-strings, and looks at what is left.
func check(body string) error {
	for i := range len(body) {
		c := body[i]
		switch {
		case c == '\r' && strings.HasPrefix(body[i:], "\r\n ") && len(body) > i+3 && body[i+3] > ' ':
		case c == '\n' && i > 0 && body[i-1] == '\r':
		case c < ' ' || c > '~':
			return fmt.Errorf("byte %q at %d of %q", c, i, body)
		}
	}
	for line := range strings.SplitSeq("Authentication-Results:"+body, "\r\n") {
		if len(line) > 998 {
			return fmt.Errorf("line of %d bytes", len(line))
		}
	}
	var plain strings.Builder
	rest := strings.ReplaceAll(body, "\r\n", "")
	for rest != "" {
		c := rest[0]
		rest = rest[1:]
		end := map[byte]byte{'(': ')', '"': '"'}[c]
		if end == 0 {
			plain.WriteByte(c)
			continue
		}
		plain.WriteByte(map[byte]byte{'(': 'C', '"': 'Q'}[c])
		for {
			if rest == "" || c == '(' && rest[0] == '(' {
				return fmt.Errorf("unbalanced %q in %q", c, body)
			}
			if rest[0] == '\\' && len(rest) > 1 {
				rest = rest[2:]
				continue
			}
			last := rest[0] == end
			if rest = rest[1:]; last {
				break
			}
		}
	}
	parts := strings.Split(plain.String(), ";")
	for _, part := range parts[1:] {
		if part = strings.TrimPrefix(part, " "); part != "none" && !resultForm.MatchString(part) {
			return fmt.Errorf("result %q in %q", part, body)
		}
	}
	return nil
}

func FuzzFormat(f *testing.F) {
	f.Add("mx.example.org", "spf", "pass", "p=reject dis=none", "a reason", "smtp", "mailfrom", "x@y.example")
	f.Add("mx\r\nX: y", "a-", "b c", "a)(\\", "\"\\", "header", "b", "x/y=\r\n\r\n")
	f.Add("büc\xff/\"", "dkim", "pass", "\x00é", "; dmarc=pass", "header", "i", "a;b@c")
	f.Add(" ", "dkim", "none", " ", " ", "header", "i", " ")
	f.Fuzz(func(t *testing.T, id, method, value, comment, reason, ptype, name, text string) {
		r := Result{method, value, comment, reason, []Property{{ptype, name, text}, {"header", "d", text}, {"header", "x", comment}}}
		results := []Result{{Method: "spf", Value: "none", Comment: comment}, r, {Method: "dmarc", Value: "fail", Reason: text, Properties: r.Properties}}
		body := Format(id, results)
		if err := check(body); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(body, " ") || strings.HasSuffix(body, "\n") {
			t.Errorf("Format gives %q; want one space first and no line break last", body)
		}
		if !Claims(body, []string{"other.example", id}) {
			t.Errorf("Claims(%q, %q) = false; want true for our own field", body, id)
		}
		want := 2
		if isKeyword(method) && isKeyword(value) {
			want = 3
		}
		if n := strings.Count(body, ";\r\n "); n != want {
			t.Errorf("Format with %q=%q gives %d results; want %d", method, value, n, want)
		}
	})
}

func BenchmarkFormat(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Format("mx.example.org", sample)
	}
}
