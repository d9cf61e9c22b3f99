package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// from makes a header of From fields with these values.
func from(values ...string) Header {
	h := Header{NewField([]byte("Subject: x@subject.example\r\n"))}
	for _, v := range values {
		h = append(h, NewField([]byte("From:"+v+"\r\n")))
	}
	return h
}

type authorTest struct {
	name    string
	value   string // of From, after the colon
	outcome Outcome
	domains string // joined with blanks
}

func checkAuthors(t *testing.T, tests []authorTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseAuthor(from(tt.value))
			if got.Outcome != tt.outcome || strings.Join(got.Domains, " ") != tt.domains {
				t.Errorf("ParseAuthor(From:%q) = %v %q; want %v [%s]", tt.value, got.Outcome, got.Domains, tt.outcome, tt.domains)
			}
		})
	}
}

func TestAuthorOfOrdinaryMail(t *testing.T) {
	checkAuthors(t, []authorTest{
		{"an addr-spec", " x@y.example", OneMailbox, "y.example"},
		{"no space after the colon", "x@y.example", OneMailbox, "y.example"},
		{"an angle-addr alone", " <x@y.example>", OneMailbox, "y.example"},
		{"a display name", " Foo Bar <x@y.example>", OneMailbox, "y.example"},
		{"a display name with an initial", " Joe Q. Public <x@y.example>", OneMailbox, "y.example"},
		{"a quoted display name", ` "Bar, Foo" <x@y.example>`, OneMailbox, "y.example"},
		{"an encoded-word", " =?utf-8?q?M=C3=BCller?= <x@y.example>", OneMailbox, "y.example"},
		{"a raw 8-bit display name", " M\xfcller <x@y.example>", OneMailbox, "y.example"},
		{"a UTF-8 display name", " Müller <x@y.example>", OneMailbox, "y.example"},
		{"brackets in a display name", " [Tracker] Foo <x@y.example>", OneMailbox, "y.example"},
		{"the name in a comment", " x@y.example (Foo Bar)", OneMailbox, "y.example"},
		{"a fold before the address", " Foo\r\n <x@y.example>", OneMailbox, "y.example"},
		{"a fold of LF alone", " Foo\n\t<x@y.example>", OneMailbox, "y.example"},
		{"upper case", " X@Y.EXAMPLE", OneMailbox, "y.example"},
		{"a final dot", " x@y.example.", OneMailbox, "y.example"},
		{"a name of one label", " root@localhost", OneMailbox, "localhost"},
		{"an underscore", " x@my_host.y.example", OneMailbox, "my_host.y.example"},
		{"a bounce address", " <b+x=z.example@y.example>", OneMailbox, "y.example"},
		{"a U-label becomes an A-label", " x@bücher.example", OneMailbox, "xn--bcher-kva.example"},
		{"a U-label in capitals", " <x@BÜCHER.example>", OneMailbox, "xn--bcher-kva.example"},
		{"an A-label", " x@xn--bcher-kva.example", OneMailbox, "xn--bcher-kva.example"},
		{"two mailboxes of one domain", " a@y.example, B <b@Y.example>", SeveralMailboxes, "y.example"},
		{"two mailboxes of two domains", " a@y.example, B <b@w.example>", SeveralDomains, "y.example w.example"},
		{"an empty group", " undisclosed-recipients:;", EmptyGroup, ""},
		{"an empty group with spaces", " undisclosed recipients : ;", EmptyGroup, ""},
		{"an encoded group name, as of a downgraded address (RFC 6857)", " =?utf-8?q?x=40=C3=A4?= :;", EmptyGroup, ""},
		{"a group with one mailbox", " Team: Foo <x@y.example>;", OneMailbox, "y.example"},
		{"a group with two", " Team: x@y.example, Foo <x@w.example>;", SeveralDomains, "y.example w.example"},
		{"an empty group and a mailbox", " Team:;, x@y.example", OneMailbox, "y.example"},
	})
}

func TestAuthorOfOddMailThatReadersShow(t *testing.T) {
	checkAuthors(t, []authorTest{
		{"angle-addr before addr-spec", " x@y.example <z@w.example>", OneMailbox, "w.example"},
		{"half an address as display name", " x@ <z@w.example>", OneMailbox, "w.example"},
		{"a handle as display name", " Foo @foo <z@w.example>", OneMailbox, "w.example"},
		{"a display name without brackets", " Foo x@y.example", OneMailbox, "y.example"},
		{"words after the angle-addr", " <x@y.example> trailing", OneMailbox, "y.example"},
		{"words after the addr-spec", " x@y.example trailing", OneMailbox, "y.example"},
		{"a quoted address before an addr-spec", ` "Foo <a@b.example>" x@y.example`, OneMailbox, "y.example"},
		{"a quoted address as display name", ` "a@b.example" <x@y.example>`, OneMailbox, "y.example"},
		{"a source route", " <@relay.example:x@y.example>", OneMailbox, "y.example"},
		{"a source route of two", " <@a.example, @b.example:x@y.example>", OneMailbox, "y.example"},
		{"a URL in the brackets", " <mailto:x@y.example>", OneMailbox, "y.example"},
		{"a dot first", " .x@y.example", OneMailbox, "y.example"},
		{"a dot last", " x.@y.example", OneMailbox, "y.example"},
		{"two dots", " a..b@y.example", OneMailbox, "y.example"},
		{"space around the at", " x @ y.example", OneMailbox, "y.example"},
		{"space within the brackets", " < x@y.example >", OneMailbox, "y.example"},
		{"a local-part with a space", " <Foo Bar@y.example>", OneMailbox, "y.example"},
		{"no closing bracket", " Foo <x@y.example", OneMailbox, "y.example"},
		{"a bracket too many", " Foo <x@y.example>>", OneMailbox, "y.example"},
		{"a closing bracket alone", " x@y.example>", OneMailbox, "y.example"},
		{"a quoted local-part", ` "a@b.example"@y.example`, OneMailbox, "y.example"},
		{"a quoted-pair", ` "\" <a@b.example>" <x@y.example>`, OneMailbox, "y.example"},
		{"comments everywhere", " (a)x(b)@(c)y.example(d (e) \\) <f@g.example>)", OneMailbox, "y.example"},
		{"one label set apart (RFC 5322, Appendix A.6.3)", " x <x@machine(comment).  example>", OneMailbox, "machine.example"},
		{"one label set apart, no brackets", " x@test  . example", OneMailbox, "test.example"},
		{"an unquoted comma in a display name", " Doe, Jane <x@y.example>", OneMailbox, "y.example"},
		{"two unquoted commas", " Doe, Jane, Dr. <x@y.example>", OneMailbox, "y.example"},
		{"a comma in an encoded-word", " =?utf-8?Q?Doe,_J=C3=A4ne?= <x@y.example>", OneMailbox, "y.example"},
		{"a colon in a display name", " Re: Foo <x@y.example>", OneMailbox, "y.example"},
		{"empty elements", " , x@y.example,,", OneMailbox, "y.example"},
		{"semicolons between", " a@y.example; b@w.example", SeveralDomains, "y.example w.example"},
	})
}

func TestAuthorNobodyAgreesOn(t *testing.T) {
	checkAuthors(t, []authorTest{
		{"an empty field", "", Unparsable, ""},
		{"a blank field", " \r\n ", Unparsable, ""},
		{"only a comment", " (x@y.example)", Unparsable, ""},
		{"only words", " Foo Bar", Unparsable, ""},
		{"only a quoted-string", ` "x@y.example"`, Unparsable, ""},
		{"only an encoded-word", " =?utf-8?q?x=40y.example?=", Unparsable, ""},
		{"only a comma", " ,", Unparsable, ""},
		{"empty brackets", " <>", Unparsable, ""},
		{"empty brackets after an address", " x@y.example <>", Unparsable, "y.example"},
		{"no at", " <x>", Unparsable, ""},
		{"no local-part", " @y.example", Unparsable, "y.example"},
		{"no domain", " x@", Unparsable, ""},
		{"no domain first", " a@, b@x", Unparsable, "x"},
		{"no domain last", " b@y.example, a@", Unparsable, "y.example"},
		{"a local-part in the list", " x@y.example, admin", Unparsable, "y.example"},
		{"a local-part first in the list", " admin, x@y.example", Unparsable, "y.example"},
		{"an address literal", " x@[192.0.2.1]", Unparsable, ""},
		{"an IPv6 literal", " <x@[IPv6:2001:db8::1]>", Unparsable, ""},
		{"an IPv4 address", " x@192.0.2.1", Unparsable, ""},
		{"a literal beside an address", " x@[192.0.2.1], a@y.example", Unparsable, "y.example"},
		{"a literal without end", " x@[192.0.2.1, a@y.example", Unparsable, ""},
		{"two ats", " a@y.example@w.example", Unparsable, "y.example w.example"},
		{"two ats in brackets", " <a@y.example@w.example>", Unparsable, "w.example"},
		{"two dots in the domain", " x@y..example", Unparsable, ""},
		{"a dot before the domain", " x@.y.example", Unparsable, ""},
		{"NUL in the domain", " x@y.example\x00.w.example", Unparsable, "y.example.w.example"},
		{"NUL after the address", " x@y.example\x00", Unparsable, "y.example"},
		{"NUL in a display name", " Foo\x00 <x@y.example>", Unparsable, "y.example"},
		{"NUL in a quoted-string", " \"Foo\x00\" <x@y.example>", Unparsable, "y.example"},
		{"NUL in a comment", " x@y.example (\\\x00)", Unparsable, "y.example"},
		{"a CR that is no fold", " x@y.example\r <x@w.example>", Unparsable, "w.example"},
		{"a line break that is no fold", " x@y.example\r\nX: <x@w.example>", Unparsable, "y.example w.example"},
		{"a U-label that IDNA forbids", " x@a\u2024b.example", Unparsable, ""},
		{"a domain that is not UTF-8", " x@\xff.example", Unparsable, ""},
		{"a slash that a U-label maps to", " x@y.example\u2100.w.example", Unparsable, ""},
		{"a label of 64", " x@" + strings.Repeat("a", 64) + ".example", Unparsable, ""},
		{"a quoted-string without end", ` "Foo <x@y.example>`, Unparsable, ""},
		{"a comment without end", " x@y.example (Foo <x@w.example>", Unparsable, "y.example"},
		{"a group without end", " Team:", Unparsable, ""},
		{"a group without name", " :;", Unparsable, ""},
		{"an address as group name", " x@y.example:;", Unparsable, "y.example"},
		{"a quoted address as group name", ` "x@y.example":;`, Unparsable, ""},
		{"an address as name of a full group", " x@y.example: a@w.example;", Unparsable, "y.example w.example"},
		{"what Sendmail makes of a group", " undisclosed-recipients:;@y.example", Unparsable, "y.example"},
	})
}

// A spoofer authenticates evil.example and wants readers to see bank.example.
// Any answer will do but an Author Domain of evil.example alone where a mail
// reader finds an address of bank.example.
func TestAuthorOfSpoofs(t *testing.T) {
	checkAuthors(t, []authorTest{
		{"a second mailbox", " <a@evil.example>, <x@bank.example>", SeveralDomains, "evil.example bank.example"},
		{"a second mailbox first", " x@bank.example, a@evil.example", SeveralDomains, "bank.example evil.example"},
		{"no comma between", " Foo <a@evil.example> <x@bank.example>", SeveralDomains, "evil.example bank.example"},
		{"nothing between", " <a@evil.example>x@bank.example", SeveralDomains, "evil.example bank.example"},
		{"addr-specs side by side", " a@evil.example x@bank.example", SeveralDomains, "evil.example bank.example"},
		{"an unclosed bracket before", " <a@evil.example <x@bank.example>", SeveralDomains, "evil.example bank.example"},
		{"an unclosed bracket in a list", " <a@evil.example, x@bank.example", SeveralDomains, "evil.example bank.example"},
		{"a route of the author's own", " <@evil.example,@any.example:x@bank.example>", OneMailbox, "bank.example"},
		{"a route that is an address", " <x@bank.example:a@evil.example>", Unparsable, "evil.example"},
		{"two routes", " <@evil.example:@bank.example:a@evil.example>", Unparsable, "evil.example"},
		{"an encoded address in the list", " =?utf-8?q?x=40bank.example?=, <a@evil.example>", Unparsable, "evil.example"},
		{"a quoted address in the list", ` "x@bank.example", <a@evil.example>`, Unparsable, "evil.example"},
		{"a comment in the domain", " x@bank.example(a).evil.example", Unparsable, "bank.example.evil.example"},
		{"a comment that looks like a domain", " x@bank.example(.evil.example)", OneMailbox, "bank.example"},
		{"a space in the domain", " x@bank.example .evil.example", Unparsable, "bank.example.evil.example"},
		{"a space after the dot", " <x@bank.example. evil.example>", Unparsable, "bank.example.evil.example"},
		{"a fold in the domain", " x@bank.example\r\n .evil.example", Unparsable, "bank.example.evil.example"},
		{"a quote in the domain", ` x@bank.example".evil.example`, Unparsable, "bank.example"},
		{"quotes in the domain", ` x@bank.example"".evil.example`, Unparsable, "bank.example"},
		{"a bracket in the domain", " x@bank.example>.evil.example", Unparsable, "bank.example"},
		{"a parenthesis in the domain", " x@bank.example).evil.example", Unparsable, ""},
		{"a backslash in the domain", ` x@bank.example\.evil.example`, Unparsable, ""},
		{"NUL before the own domain", " x@bank.example\x00@evil.example", Unparsable, "bank.example evil.example"},
		{"the own domain after an at", " x@bank.example@evil.example", Unparsable, "bank.example evil.example"},
		{"junk behind the domain", " <x@bank.example a@evil.example>", Unparsable, "evil.example"},
		{"the own address in a comment", " x@bank.example (a@evil.example)", OneMailbox, "bank.example"},
		{"the own address in quotes", ` "a@evil.example" x@bank.example`, OneMailbox, "bank.example"},
		{"a quote opened in a comment", ` (") x@bank.example (") , a@evil.example`, SeveralDomains, "bank.example evil.example"},
		{"a comment opened in quotes", ` "(" x@bank.example ")" , a@evil.example`, SeveralDomains, "bank.example evil.example"},
		{"an escaped quote", ` "\"" x@bank.example, a@evil.example`, SeveralDomains, "bank.example evil.example"},
		{"an empty group hides nothing", " Bank:;, a@evil.example, x@bank.example", SeveralDomains, "evil.example bank.example"},
		{"a group of one's own", " x@bank.example, G: a@evil.example;", SeveralDomains, "bank.example evil.example"},
		{"a mailbox that cannot be read", " a@evil.example, x@[192.0.2.1]", Unparsable, "evil.example"},
	})
}

func TestFromFieldsAreCounted(t *testing.T) {
	tests := []struct {
		name   string
		header Header
		want   Outcome
		domain string
	}{
		{"no field at all", nil, Missing, ""},
		{"no From field", from(), Missing, ""},
		{"Resent-From and Sender are not From", Header{NewField([]byte("Resent-From: x@y.example\r\n")), NewField([]byte("Sender: x@y.example\r\n"))}, Missing, ""},
		{"the name in another case", Header{NewField([]byte("fROM: x@y.example\r\n"))}, OneMailbox, "y.example"},
		{"space before the colon", Header{NewField([]byte("From : x@y.example\r\n"))}, OneMailbox, "y.example"},
		{"no colon", Header{NewField([]byte("From\r\n"))}, Unparsable, ""},
		{"two fields", from(" x@y.example", " x@w.example"), SeveralFields, "y.example w.example"},
		{"two equal fields", from(" x@y.example", " x@y.example"), SeveralFields, "y.example"},
		{"two fields, one of them empty", from(" x@y.example", ""), SeveralFields, "y.example"},
		{"a second field with a space in its name", append(from(" x@y.example"), NewField([]byte("From\t: x@w.example\r\n"))), SeveralFields, "y.example w.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseAuthor(tt.header)
			if got.Outcome != tt.want || strings.Join(got.Domains, " ") != tt.domain {
				t.Errorf("ParseAuthor(%q) = %v %q; want %v [%s]", tt.header, got.Outcome, got.Domains, tt.want, tt.domain)
			}
		})
	}
}

func TestAuthorLimits(t *testing.T) {
	var many []string
	for i := range MaxMailboxes {
		many = append(many, fmt.Sprintf("x@d%d.example", i))
	}
	same := strings.Repeat("x@y.example,", MaxMailboxes)
	tests := []struct {
		name    string
		value   string
		want    Outcome
		domains int
	}{
		{"five domains", strings.Join(many[:MaxAuthorDomains], ","), SeveralDomains, MaxAuthorDomains},
		{"six domains", strings.Join(many[:MaxAuthorDomains+1], ","), SeveralDomains, MaxAuthorDomains + 1},
		{"as many mailboxes as may be", strings.Join(many, ","), SeveralDomains, MaxAuthorDomains + 1},
		{"as many of one domain", same, SeveralMailboxes, 1},
		{"one mailbox too many", same + "x@y.example", Unparsable, 1},
		{"one mailbox too many without commas", strings.ReplaceAll(same, ",", " ") + "x@y.example", Unparsable, 1},
		{"a long display name", strings.Repeat("x ", MaxFromBytes/2-10) + "<x@y.example>", OneMailbox, 1},
		{"a longer one hides the address", strings.Repeat("x ", MaxFromBytes/2) + "<x@y.example>", Unparsable, 0},
		{"an address before the limit, more behind it", "x@y.example," + strings.Repeat(" ", MaxFromBytes), Unparsable, 1},
		{"deep comments", strings.Repeat("(", MaxCommentDepth) + strings.Repeat(")", MaxCommentDepth) + "x@y.example", OneMailbox, 1},
		{"deeper comments", strings.Repeat("(", MaxCommentDepth+1) + strings.Repeat(")", MaxCommentDepth+1) + "x@y.example", Unparsable, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseAuthor(from(tt.value))
			if got.Outcome != tt.want || len(got.Domains) != tt.domains {
				t.Errorf("ParseAuthor(From:%.40q…) = %v %q; want %v, %d domains", tt.value, got.Outcome, got.Domains, tt.want, tt.domains)
			}
		})
	}
}

// The texts go past MaxFromBytes, which hides the difference.
func TestAuthorWorkIsLinear(t *testing.T) {
	for _, piece := range []string{"(", "()", "\"", "\"\"", "\\", "<", "<>", ">", "@", "@a", "a@", "@[", ".", "a.", "a@b.", "a@b@", ",", "a,", ":", "a:;", "a:", "\r\n ", "\x00", "<@a,", "<@a:", "a@a ", "é.", "=?a?b?c?= ", "a "} {
		work := func(size int) {
			var p author
			p.field(strings.Repeat(piece, size/len(piece)))
		}
		if !isLinear(work) {
			t.Errorf("work on repeated %q grows faster than its length", piece)
		}
	}
}

// growth returns how many times longer work takes on 16 times the input: about
// 16 if it is linear, 256 if it is quadratic. The fastest of several runs
// counts, so that a busy machine does not make the answer.
func growth(work func(size int)) float64 {
	const small, large = 4 << 10, 64 << 10
	fastest := func(size int) time.Duration {
		least := time.Hour
		for range 5 {
			start := time.Now()
			work(size)
			least = min(least, time.Since(start))
		}
		return least
	}
	return float64(fastest(large)) / float64(fastest(small))
}

// isLinear allows for caches and the collector, and for bad luck twice.
func isLinear(work func(size int)) bool {
	for range 3 {
		if growth(work) < 80 {
			return true
		}
	}
	return false
}

func TestOutcomeNames(t *testing.T) {
	tests := []struct {
		outcome Outcome
		want    string
	}{
		{Unparsable, "unparsable"},
		{Missing, "missing"},
		{OneMailbox, "one"},
		{SeveralMailboxes, "several_mailboxes"},
		{SeveralDomains, "several_domains"},
		{SeveralFields, "several_fields"},
		{EmptyGroup, "empty_group"},
		{Outcome(200), "unparsable"},
	}
	for _, tt := range tests {
		if got := tt.outcome.String(); got != tt.want {
			t.Errorf("Outcome(%d).String() = %q; want %q", tt.outcome, got, tt.want)
		}
	}
	var zero Author
	if zero.Outcome != Unparsable {
		t.Errorf("zero Author has outcome %v; want %v", zero.Outcome, Unparsable)
	}
}

func FuzzParseAuthor(f *testing.F) {
	for _, s := range []string{
		" Foo <x@y.example>", "a@, b@x", "Team: x@y.example, <@a,@b:c@d.example>;, e@[1.2.3.4]",
		"\"a\\\"b@c\" (d(e)\\)) <x @ y . example", "x@bücher.example\r\n\t, \xff@\xff", "a@b@c <> \x00", "=?a?q?b?=, <a@b.c>",
		"undisclosed:;", "x@y\u3002example", "a@xn--", "x@\u00ad.example",
	} {
		f.Add(s, "")
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		values := []string{first}
		if second != "" {
			values = append(values, second)
		}
		got := ParseAuthor(from(values...))
		for i, d := range got.Domains {
			if again, err := ParseDomain(d); err != nil || again != d {
				t.Errorf("ParseDomain(%q) = %q, %v; want the same domain", d, again, err)
			}
			if strings.ContainsAny(d, "\r\n\x00 \t@<>\"") {
				t.Errorf("ParseAuthor(%q) gives domain %q", values, d)
			}
			if slices.Contains(got.Domains[:i], d) {
				t.Errorf("ParseAuthor(%q) gives domain %q twice", values, d)
			}
		}
		n := len(got.Domains)
		ok := n <= MaxAuthorDomains+1
		switch got.Outcome {
		case OneMailbox, SeveralMailboxes:
			ok = ok && n == 1
		case SeveralDomains:
			ok = ok && n > 1
		case EmptyGroup, Missing:
			ok = n == 0
		}
		if !ok || (len(values) > 1) != (got.Outcome == SeveralFields) || got.Outcome == Missing {
			t.Errorf("ParseAuthor(%q) = %v %q; outcome and domains disagree", values, got.Outcome, got.Domains)
		}
	})
}

// Adding a mailbox never turns an ambiguous From into a clear one, and a clear
// one never loses its domain.
func FuzzAddingAMailboxGainsNothing(f *testing.F) {
	f.Add("x@bank.example")
	f.Add("x@[192.0.2.1]")
	f.Add("\"Bank\" <x@bank.example>")
	f.Add("Bank:;")
	f.Fuzz(func(t *testing.T, value string) {
		alone := ParseAuthor(from(value))
		both := ParseAuthor(from("a@evil.example," + value))
		switch {
		case len(value) > MaxFromBytes/2:
		case len(alone.Domains) > 0 && alone.Domains[0] != "evil.example" && both.Outcome == OneMailbox,
			alone.Outcome == Unparsable && len(alone.Domains) > 0 && both.Outcome != Unparsable:
			t.Errorf("From:%q is %v %q alone and %v %q beside another", value, alone.Outcome, alone.Domains, both.Outcome, both.Domains)
		}
	})
}

func BenchmarkParseAuthor(b *testing.B) {
	bench := func(name string, h Header) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseAuthor(h)
			}
		})
	}
	bench("ordinary", from(` "Service, Shop" <service@mail.shop.example>`))
	bench("u-label", from(" Bücher <service@bücher.example>"))
	bench("32 KiB of addresses", from(strings.Repeat("x@y.example x@w.example <", MaxFromBytes/26)))
}
