package authres

import (
	"strings"
	"testing"
)

var ours = []string{"mx.example.com", "old.example.com", "mx.bücher.example"}

func TestClaimsFindsForgedFields(t *testing.T) {
	tests := []struct{ name, body string }{
		{"the plain form", " mx.example.com; dmarc=pass header.from=bank.example"},
		{"another id of ours", " old.example.com; none"},
		{"no space at all", "mx.example.com;none"},
		{"upper case", " MX.Example.COM; none"},
		{"a final dot", " mx.example.com.; none"},
		{"quoted", ` "mx.example.com"; none`},
		{"quoted in capitals", ` "MX.EXAMPLE.COM."; none`},
		{"escapes in quotes", ` "m\x.ex\ample.com"; none`},
		{"a job identifier in quotes", ` "mx.example.com/4x9"; none`},
		{"a comment before", " (x) mx.example.com; none"},
		{"a nested comment with a semicolon", ` (a (b; \) other.example) "c")mx.example.com; none`},
		{"a comment after", " mx.example.com(x); none"},
		{"a version", " mx.example.com 1; none"},
		{"a version with zeros", " mx.example.com 01; none"},
		{"comments around the version", " (a) mx.example.com (b) 1 (c) ; none"},
		{"a fold before", "\r\n\tmx.example.com; none"},
		{"a fold of LF alone", "\n mx.example.com\n ; none"},
		{"a fold after", " mx.example.com\r\n ; none"},
		{"no semicolon", " mx.example.com"},
		{"a line break last", " mx.example.com; none\r\n"},
		{"A-labels", " mx.xn--bcher-kva.example; none"},
		{"A-labels in capitals", " MX.XN--BCHER-KVA.EXAMPLE; none"},
		{"a forged result of OpenDMARC's", " mx.example.com; (null)=pass"},
		{"a comment with a quote", ` (") mx.example.com (\)"); none`},
		{"a comment beside everything", "(a)mx.example.com(b)1(c);none"},
		{"a fold in every gap", "\r\n (a\r\n b)\r\n \"mx.example.com\"\r\n\t(c)\r\n 1\r\n ;\r\n none"},
		{"a quoted A-label with an escape", ` "mx.xn\--bcher-kva.example" 1; none`},
		{"a decomposed letter", " mx.bu\u0308cher.example; none"},
		{"a version with zeros and spaced results", " mx.example.com 0001; spf = pass"},
		{"results that cannot be read", ` mx.example.com; "; (`},
		{"U-labels", " mx.bücher.example; none"},
		{"U-labels in quotes and capitals", ` "mx.BÜCHER.example"; none`},
		{"full-width letters", " ｍｘ.example.com; none"},
		{"an ideographic full stop", " mx.example。com; none"},
		{"a character that maps to nothing", " mx.exam\u00adple.com; none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !Claims(tt.body, ours) {
				t.Errorf("Claims(%q) = false; want true", tt.body)
			}
		})
	}
}

func TestClaimsOfUnreadableFields(t *testing.T) {
	tests := []struct{ name, body string }{
		{"nothing", ""},
		{"blanks", " \t\r\n "},
		{"only a comment", " (mail.other.example)"},
		{"no id", " ; dmarc=pass"},
		{"a result for an id", " dkim=pass header.d=x; spf=pass"},
		{"a result with spaces for an id", " dkim = pass header.d=x"},
		{"a job identifier without quotes", " mail.other.example/4x9; none"},
		{"an address for an id", " x@mail.other.example; none"},
		{"an empty quoted id", ` ""; none`},
		{"a quoted id that is only a slash", ` "/x"; none`},
		{"a quoted id with a space", ` " mx.example.com"; none`},
		{"a quoted id with a semicolon", ` "mx.example.com; dmarc=pass"; none`},
		{"a quoted id with a fold", " \"mx.\r\n example.com\"; none"},
		{"a quoted id without end", ` "mail.other.example; none`},
		{"a backslash last", ` "mail.other.example\`},
		{"a quoted id with more behind it", ` "mail.other.example"x; none`},
		{"a comma", " mail.other.example, mx.example.com; none"},
		{"a comment in the id", " mx.exa(x)mple.com; none"},
		{"a comment without end", " (mail.other.example; none"},
		{"a comment without end behind the id", " mail.other.example (mx.example.com; none"},
		{"a comment closed twice", " mail.other.example (x)); none"},
		{"deep comments", strings.Repeat("(", 51) + strings.Repeat(")", 51) + "mail.other.example; none"},
		{"two ids", " mail.other.example mx.example.com; none"},
		{"a result before the semicolon", " mail.other.example from=y.example; none"},
		{"another version", " mail.other.example 2; none"},
		{"version zero", " mail.other.example 0; none"},
		{"two versions", " mail.other.example 1 1; none"},
		{"our id and another version", " mx.example.com 2; none"},
		{"NUL before", " \x00mail.other.example; none"},
		{"NUL after", " mail.other.example\x00; none"},
		{"NUL far behind", " mail.other.example; none\x00"},
		{"a control byte in the id", " mail\x01.other.example; none"},
		{"a vertical tab before the id", " \vmail.other.example; none"},
		{"bytes that are not UTF-8", " mail\xff.other.example; none"},
		{"a U-label that IDNA forbids", " a\u2024b.example; none"},
		{"a U-label without bound", " " + strings.Repeat("ü", 600) + "; none"},
		{"a line break that is no fold", " mail.other.example; none\r\nAuthentication-Results: mx.example.com; dmarc=pass"},
		{"a bare LF", " mail.other.example; none\nX: y"},
		{"a bare CR", " mail.other.example; none\rX: y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !Claims(tt.body, ours) {
				t.Errorf("Claims(%q) = false; want true", tt.body)
			}
			if !Claims(tt.body, nil) {
				t.Errorf("Claims(%q) = false without ids of ours; want true", tt.body)
			}
		})
	}
}

func TestClaimsKeepsForeignFields(t *testing.T) {
	tests := []struct{ name, body string }{
		{"an ordinary field", " mail.other.example; dkim=pass header.d=other.example"},
		{"a quoted id", ` "mail.other.example"; none`},
		{"a quoted job identifier", ` "mail.other.example/4x9"; none`},
		{"a version and comments", " (mx.example.com) mail.other.example 1 (mx.example.com); none"},
		{"our id as a beginning", " mx.example.com.evil.example; none"},
		{"our id as an end", " evil.mx.example.com; none"},
		{"our id run on", " mx.example.comm; none"},
		{"the parent of our id", " example.com; none"},
		{"our id in a result", ` mail.other.example; dkim=pass reason="mx.example.com" header.d=mx.example.com`},
		{"our id behind the semicolon", " mail.other.example; mx.example.com; dmarc=pass"},
		{"a quote without end in a result", ` mail.other.example; dkim=pass reason="x`},
		{"a U-label", " mail.müller.example; none"},
		{"folds", "\r\n mail.other.example;\r\n\tspf=pass\r\n smtp.mailfrom=x@y.example"},
		{"no semicolon", " mail.other.example"},
		{"a name that is no domain", " localhost; none"},
		{"an id of the word none", " none"},
		{"an underscore", " mail_1.other.example; none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if Claims(tt.body, ours) {
				t.Errorf("Claims(%q) = true; want false", tt.body)
			}
		})
	}
}

func TestClaimsComparesIDs(t *testing.T) {
	for _, id := range []string{"MX.Example.ORG.", "mx.example.org/smtp", "two words", `qu"ote`, "", ".", "\xff", "line\r\nbreak", strings.Repeat("a.", 300), "xn--bcher-kva.example", "BÜCHER.example", "[192.0.2.1]"} {
		if body := Format(id, sample); !Claims(body, []string{id}) {
			t.Errorf("Claims(%q, %q) = false; want true for our own field", body, id)
		}
	}
}

func FuzzClaims(f *testing.F) {
	for _, s := range []string{` (a) "m\x" 1 (b) ; none`, " mx.example.com.; none", "\"a/b\" 2", "mx.bücher.example;", "(((", "\r\n x\r\n"} {
		f.Add(s, "mx.example.com")
	}
	f.Fuzz(func(t *testing.T, body, id string) {
		got := Claims(body, []string{id})
		if !got && Claims(body, nil) {
			t.Errorf("Claims(%q, %q) = false, but true without ids", body, id)
		}
		// Comments, space and version 1 around the id change nothing.
		if isPlain(id) && !Claims(" (\\)) \r\n "+id+"\t(;) 1 ; "+body, []string{strings.ToUpper(id)}) {
			t.Errorf("Claims does not see %q", id)
		}
		if isPlain(id) && id != "other.example" && !strings.ContainsAny(body, "\r\n\x00") && Claims(" "+id+"; "+body, []string{"other.example", id + "x", "x" + id, "x." + id}) {
			t.Errorf("Claims takes %q for another id", id)
		}
	})
}

// isPlain reports whether id is written as it is compared.
func isPlain(id string) bool {
	return id != "" && len(id) < MaxID-2 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func BenchmarkClaims(b *testing.B) {
	body := Format("mail.other.example", sample)
	b.ReportAllocs()
	for b.Loop() {
		Claims(body, ours[:1])
	}
}
