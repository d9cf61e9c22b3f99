package dmarc

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/suites"
)

// example is one case of RFC 9989, Appendix B.
type example struct {
	fields  map[string]string
	orgs    map[string]string
	queries []string
	dns     *fakeDNS
}

// readExamples reads the cases of the appendix. A key that the test does not look
// at, such as "ref", is one of the fields, too.
func readExamples(t *testing.T, text string) []example {
	docs, err := suites.YAML(text)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v; want 1", len(docs), err)
	}
	var cases []example
	for _, item := range docs[0].Get("cases").Items {
		c := example{map[string]string{}, map[string]string{}, nil, zone()}
		for i, key := range item.Keys {
			switch value := item.Items[i]; {
			case key == "queries":
				c.queries = value.Texts()
			case key == "org_domains":
				for j, domain := range value.Keys {
					c.orgs[domain] = value.Items[j].Text
				}
			case key == "dns":
				for j, owner := range value.Keys {
					for _, txt := range value.Items[j].Get("TXT").Texts() {
						c.dns.with(owner, txt)
					}
				}
			case value.Items != nil:
				t.Fatalf("key %q of %q is not a scalar", key, item.Get("name").Text)
			default:
				c.fields[key] = value.Text
			}
		}
		cases = append(cases, c)
	}
	return cases
}

func TestExamplesOfRFC9989(t *testing.T) {
	cases := readExamples(t, string(suites.Read(t, "dmarc-rfc9989/examples.yml")))
	if len(cases) != 11 {
		t.Fatalf("%d cases read; want 11", len(cases))
	}
	for _, c := range cases {
		t.Run(c.fields["name"], func(t *testing.T) { testExample(t, c) })
	}
}

func testExample(t *testing.T, c example) {
	author := c.fields["from_domain"]
	c.publish(author)
	f, d := find(t, c.dns, TreeWalk, author)
	if want := c.fields["policy_domain"]; want != "" && d.PolicyDomain != want {
		t.Errorf("Find(%q) = record of %q; want %q", author, d.PolicyDomain, want)
	}
	if c.queries != nil && !slices.Equal(walkNames(d), c.queries) {
		t.Errorf("Find(%q) walked %v; want %v", author, walkNames(d), c.queries)
	}
	for domain, want := range c.orgs {
		if end, err := settle(f.walk(t.Context(), domain, nil)); end.org != want || err != nil {
			t.Errorf("organization of %q = %q, %v; want %q", domain, end.org, err, want)
		}
	}
	for prefix, m := range map[string]Mechanism{"spf": SPF, "dkim": DKIM} {
		domain, want := c.fields[prefix+"_domain"], c.fields[prefix+"_aligned"] == "true"
		if domain == "" {
			continue
		}
		id := f.Identify(t.Context(), Identifier{Mechanism: m, Domain: domain, Passed: true}, d)
		if got := id.AlignedWith(d); got != want {
			t.Errorf("%v %q aligned with %q = %t; want %t", m, domain, author, got, want)
		}
	}
}

// publish puts the modes of the case into the author's record; the appendix
// gives them in words.
func (c example) publish(author string) {
	if c.fields["aspf"] == "" && c.fields["adkim"] == "" {
		return
	}
	modes := "; aspf=" + cmp.Or(c.fields["aspf"], "r") + "; adkim=" + cmp.Or(c.fields["adkim"], "r")
	for name, txts := range c.dns.txt {
		c.dns.txt[name] = []string{txts[0] + modes}
	}
	if len(c.dns.txt) == 0 {
		c.dns.with("_dmarc."+author, "v=DMARC1; p=none"+modes)
	}
}

// suffixFile writes the shared list to a file.
func suffixFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.dat")
	if err := os.WriteFile(path, suites.Read(t, "psl/public_suffix_list.dat"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The vectors have upper case, U-labels and "null", which is no domain at all.
func TestVectorsOfThePublicSuffixList(t *testing.T) {
	file, err := LoadSuffixes(suffixFile(t))
	if err != nil {
		t.Fatal(err)
	}
	vectors := 0
	for _, line := range strings.Split(string(suites.Read(t, "psl/tests.txt")), "\n") {
		input, want, found := strings.Cut(line, " ")
		if !found || strings.HasPrefix(line, "//") {
			continue
		}
		vectors++
		input, want = strings.TrimPrefix(input, "null"), normal(strings.TrimPrefix(want, "null"))
		t.Run(line, func(t *testing.T) {
			for name, list := range map[string]Suffixes{"built in": PublicSuffix(), "from a file": file} {
				for _, form := range []string{input, strings.ToUpper(input), normal(input)} {
					if got := list.Org(form); got != want {
						t.Errorf("Org(%q), list %s = %q; want %q", form, name, got, want)
					}
				}
			}
		})
	}
	if vectors != 78 {
		t.Errorf("%d vectors read; want 78", vectors)
	}
}

func TestLoadSuffixesRejectsOtherFiles(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut": "com\nnet\nco.uk\n", "a message": "From: a@b.example\n\nhello\n"} {
		path := filepath.Join(t.TempDir(), "list.dat")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSuffixes(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("LoadSuffixes(%s) = %v; want an error that names the file", name, err)
		}
	}
	if _, err := LoadSuffixes("/nonexistent.dat"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent.dat") {
		t.Errorf("LoadSuffixes(no file) = %v; want an error that names it", err)
	}
}

func TestPublicSuffixTraps(t *testing.T) {
	tests := []struct{ name, domain, want string }{
		{"a subdomain of a private suffix", "a.b.github.io", "b.github.io"},
		{"a private suffix has no organization", "github.io", ""},
		{"a top-level domain that is not listed is a suffix", "a.b.unlisted-example", "b.unlisted-example"},
		{"upper case", "EXAMPLE.CO.UK", "example.co.uk"},
		{"letters beyond ASCII", "食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"},
		{"an underscore", "_x.ABC.example.com", "example.com"},
		{"what is no name in the DNS", "xn--a-\u00e4.COM", ""},
		{"nor has a trailing dot an organization", "example.com.", ""},
		{"an address is no domain", "192.0.2.1", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := PublicSuffix().Org(tt.domain); got != tt.want {
				t.Errorf("Org(%q) = %q; want %q", tt.domain, got, tt.want)
			}
		})
	}
}

func TestPublicSuffixKeepsNameAsGiven(t *testing.T) {
	for s, want := range map[string]bool{"": true, "az09.-_@[`{": true, "A": false, "Z": false, "xA": false, "\x7f": true, "\x80": false} {
		if got := isLowerASCII(s); got != want {
			t.Errorf("isLowerASCII(%q) = %t; want %t", s, got, want)
		}
	}
}
