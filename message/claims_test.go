package message

import (
	"strings"
	"testing"
)

// claims makes a header of lines such as "List-Id: <a.b.example>".
func claims(lines ...string) Header {
	h := Header{NewField([]byte("Subject: list-id: <x.subject.example>\r\n"))}
	for _, l := range lines {
		h = append(h, NewField([]byte(l+"\r\n")))
	}
	return h
}

func TestFieldsOfMailingListsAreSeen(t *testing.T) {
	for line, want := range map[string]bool{
		"List-Id: <dev.lists.example.org>": true, "LIST-POST: NO": true, "list-help : <mailto:x@y.example>": true, "List-Archive:": true,
		"List-Owner: <mailto:x@y.example>": true, "List-Subscribe: x": true, "List-Unsubscribe: <https://y.example>": true,
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click": false, "List-": false, "List": false, "X-List-Id: <dev.lists.example.org>": false,
		"Listid: x": false, "List-Idx: x": false, "List_Id: x": false, "Precedence: list": false,
	} {
		if got := ParseClaims(claims(line)).IsList; got != want {
			t.Errorf("ParseClaims(%q).IsList = %v; want %v", line, got, want)
		}
	}
}

func TestTheListIDLosesItsFirstLabel(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ name, value, want string }{
		{"an identifier alone", " <dev.lists.example.org>", "lists.example.org"},
		{"a phrase before it", " The developers <dev.lists.example.org>", "lists.example.org"},
		{"a quoted phrase with brackets", ` "a <b.c.example>" <dev.lists.example.org>`, "lists.example.org"},
		{"an encoded-word", " =?utf-8?q?M=C3=BCller?= <dev.lists.example.org>", "lists.example.org"},
		{"a raw 8-bit phrase", " M\xfcller <dev.lists.example.org>", "lists.example.org"},
		{"a fold before the brackets", " The developers\r\n\t<dev.lists.example.org>", "lists.example.org"},
		{"upper case", " <Dev.Lists.EXAMPLE.org>", "lists.example.org"},
		{"a comment after the brackets", " <dev.lists.example.org> (x)", "lists.example.org"},
		{"a list that is no host name", " <c++&co.lists.example.org>", "lists.example.org"},
		{"an A-label", " <dev.xn--bcher-kva.example>", "xn--bcher-kva.example"},
		{"an unmanaged one", " <jokes.da39efc25c530ad1.021999.localhost>", "da39efc25c530ad1.021999.localhost"},
		{"two labels", " <dev.localhost>", "localhost"},
		{"as long as it may be", " <" + strings.Repeat(long+".", 3) + strings.Repeat("b", 63) + ">", long + "." + long + "." + strings.Repeat("b", 63)},
		{"one byte more", " <" + strings.Repeat(long+".", 4) + ">", ""},
		{"a label of 64", " <dev." + long + "a.example>", ""},
		{"one label", " <dev>", ""},
		{"one label and a dot", " <dev.>", ""},
		{"no list", " <.lists.example.org>", ""},
		{"two dots", " <dev..example.org>", ""},
		{"nothing in the brackets", " <>", ""},
		{"no brackets", " dev.lists.example.org", ""},
		{"no closing bracket", " <dev.lists.example.org", ""},
		{"no opening bracket", " dev.lists.example.org>", ""},
		{"brackets the wrong way", " >dev.lists.example.org<", ""},
		{"the last opening bracket counts", " <dev.lists.example.org> <", ""},
		{"white space", " < dev.lists.example.org >", ""},
		{"a fold within", " <dev.lists.\r\n example.org>", ""},
		{"a comment within", " <dev.(x)lists.example.org>", ""},
		{"an address", " <john@lists.example.org>", ""},
		{"an address below", " <dev.john@lists.example.org>", ""},
		{"a URL", " <https://lists.example.org/>", ""},
		{"a U-label", " <dev.bücher.example>", ""},
		{"an ideographic full stop", " <dev.lists\u3002example>", ""},
		{"an IP address", " <dev.192.0.2.1>", ""},
		{"NUL", " <dev.lists\x00.example.org>", ""},
		{"a line break", " <dev.lists.example.org\r\nX: y>", ""},
		{"a quote", ` <dev.lists".example.org>`, ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ParseClaims(claims("List-Id:" + tt.value))
			if got.ListID != tt.want || !got.IsList {
				t.Errorf("ParseClaims(List-Id:%q) = %+v; want a list, %q", tt.value, got, tt.want)
			}
		})
	}
}

func TestTheFirstListIDCounts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"of two", []string{"List-Id: <a.one.example>", "List-Id: <b.two.example>"}, "one.example"},
		{"even if it cannot be read", []string{"List-ID: hello", "List-Id: <b.two.example>"}, ""},
		{"behind another field", []string{"List-Post: <x.y.example>", "List-Id: <b.two.example>"}, "two.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseClaims(claims(tt.lines...)).ListID; got != tt.want {
				t.Errorf("ParseClaims(%q).ListID = %q; want %q", tt.lines, got, tt.want)
			}
		})
	}
}

func TestAutomaticMailSaysSo(t *testing.T) {
	tests := []struct {
		name, value string
		want        bool
	}{
		{"an answer", " auto-replied", true},
		{"a robot", " auto-generated", true},
		{"no space", "auto-generated", true},
		{"a keyword to come", " auto-notified; owner-email=x", true},
		{"a person", " no", false},
		{"in capitals", " NO", false},
		{"with a comment", " (yes) no (x)", false},
		{"with a parameter", " no; x=auto-replied", false},
		{"a comment before the keyword", " (no) Auto-Replied", true},
		{"nested comments", " (a (b) no) auto-replied", true},
		{"a fold before the keyword", "\r\n auto-replied", true},
		{"a word that begins with no", " none", true},
		{"nothing", "", false},
		{"a comment alone", " (auto-replied)", false},
		{"a comment without end", " (auto-replied", false},
		{"no keyword", " ; x=y", false},
		{"a quoted-string", ` "auto-replied"`, false},
		{"a control byte", " \x00auto-replied", false},
		{"a comment longer than what is read", " (" + strings.Repeat("x", maxAutoSubmitted) + ") auto-replied", false},
		{"a parameter longer than what is read", " auto-replied; x=" + strings.Repeat("x", maxAutoSubmitted), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseClaims(claims("auto-submitted:" + tt.value)).Automatic; got != tt.want {
				t.Errorf("ParseClaims(Auto-Submitted:%.40q).Automatic = %v; want %v", tt.value, got, tt.want)
			}
		})
	}
	if !ParseClaims(claims("Auto-Submitted: no", "Auto-Submitted: auto-replied")).Automatic {
		t.Error("a field that says no hides one that does not")
	}
}

func TestAHeaderThatClaimsNothingCostsNothing(t *testing.T) {
	h := claims("List-Unsubscribe-Post: x", "From: x@y.example", "Auto: x", "Content-Type: text/plain")
	if n := testing.AllocsPerRun(100, func() { ParseClaims(h) }); n != 0 {
		t.Errorf("ParseClaims() allocates %v times; want 0", n)
	}
}

func FuzzParseClaims(f *testing.F) {
	f.Add("List-Id", " The developers <dev.lists.example.org>", " <a.b.example>")
	f.Add("list-id ", "\r\n <<x.<y.z.example>>", "")
	f.Add("Auto-Submitted", " (no (no)) auto-replied; x", " no")
	f.Add("List-Id", " <dev.\x00.B\xfc.example\r\n>", ">")
	f.Fuzz(func(t *testing.T, name, value, second string) {
		first := NewField([]byte(name + ":" + value + "\r\n"))
		got := ParseClaims(Header{first})
		if d := got.ListID; d != "" {
			again, err := ParseDomain(d)
			if err != nil || again != d || !strings.Contains(strings.ToLower(string(first.Raw)), "."+d) || !got.IsList {
				t.Errorf("ParseClaims(%q:%q) = %+v; want a part of the field", name, value, got)
			}
		}
		if got.IsList && got.Automatic {
			t.Errorf("ParseClaims(%q:%q) = %+v; want one or the other of one field", name, value, got)
		}
		more := ParseClaims(Header{first, NewField([]byte("Subject:" + second + "\r\n")), NewField([]byte(name + ":" + second + "\r\n"))})
		if more.IsList != got.IsList || more.ListID != got.ListID || got.Automatic && !more.Automatic {
			t.Errorf("ParseClaims(%q:%q) = %+v, and %+v with another %q behind it", name, value, got, more, second)
		}
	})
}

func BenchmarkParseClaims(b *testing.B) {
	for name, h := range map[string]Header{
		"nothing": claims("From: x@y.example", "To: x@y.example", "Date: x", "Message-ID: <x@y.example>", "Content-Type: text/plain"),
		"a list":  claims("List-Id: The developers <dev.lists.example.org>", "List-Post: <mailto:dev@lists.example.org>"),
		"512 KiB": claims("List-Id: "+strings.Repeat("<", 256<<10), "Auto-Submitted: "+strings.Repeat("(", 256<<10)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseClaims(h)
			}
		})
	}
}

func TestParseClaimsRecognizesReports(t *testing.T) {
	const automatic = "Auto-Submitted: auto-replied"
	tests := []struct {
		name   string
		fields []string
		want   bool
	}{
		{"a notification of delivery", []string{automatic, "Content-Type: multipart/report; report-type=delivery-status; boundary=x"}, true},
		{"type in upper case and folded", []string{"Content-Type:\r\n\tMultipart/REPORT;\r\n report-type=feedback-report", "auto-submitted: auto-generated (x)"}, true},
		{"type without parameters", []string{automatic, "Content-Type: multipart/report"}, true},
		{"a multipart/report that does not claim to be automatic", []string{"Content-Type: multipart/report; boundary=x"}, false},
		{"a multipart/report that claims not to be automatic", []string{"Auto-Submitted: no", "Content-Type: multipart/report"}, false},
		{"an automatic answer", []string{automatic, "Content-Type: text/plain"}, false},
		{"a type with the same beginning", []string{automatic, "Content-Type: multipart/reports"}, false},
		{"the type as a parameter", []string{automatic, "Content-Type: text/plain; x=multipart/report"}, false},
		{"an aggregate report", []string{"Subject: Report Domain: bank.example Submitter: mx.example Report-ID: <1@mx.example>"}, true},
		{"an aggregate report of Google", []string{"Subject: Report domain: bank.example Submitter: google.com Report-ID: 123"}, true},
		{"an aggregate report, folded", []string{"Subject: Report\r\n Domain:\r\n\tbank.example\r\n Submitter: mx.example"}, true},
		{"an answer to an aggregate report", []string{"Subject: Re: Report Domain: bank.example Submitter: mx.example"}, false},
		{"a subject about a report", []string{"Subject: Report Domain: bank.example is down"}, false},
		{"the words without a domain", []string{"Subject: Report Domain: Submitter: mx.example"}, false},
		{"an empty subject", []string{"Subject:"}, false},
		{"ordinary mail", []string{"Content-Type: text/plain"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseClaims(claims(tt.fields...)).Report; got != tt.want {
				t.Errorf("ParseClaims(%q).Report = %v; want %v", tt.fields, got, tt.want)
			}
		})
	}
}
