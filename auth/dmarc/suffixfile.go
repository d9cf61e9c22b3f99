package dmarc

import (
	"fmt"
	"io"
	"os"

	"github.com/weppos/publicsuffix-go/publicsuffix"
)

const (
	// maxSuffixFile bounds a list file; the list of 2026 has 0.4 MB.
	maxSuffixFile = 16 << 20
	// minSuffixes is how many rules a list must have to be one: the list has
	// ten thousand, and with a cut or empty file half of the Internet would
	// be one organization.
	minSuffixes = 1000
)

// LoadSuffixes reads a list in the format of publicsuffix.org, both of its
// sections. The error names the file and says what is wrong with it.
func LoadSuffixes(path string) (Suffixes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("public suffix list: %w", err)
	}
	defer f.Close()
	list := publicsuffix.NewList()
	if _, err := list.Load(io.LimitReader(f, maxSuffixFile), publicsuffix.DefaultParserOptions); err != nil {
		return nil, fmt.Errorf("public suffix list %s: %w", path, err)
	}
	if n := list.Size(); n < minSuffixes {
		return nil, fmt.Errorf("public suffix list %s: it has %d rules; a whole list has more than %d", path, n, minSuffixes)
	}
	return fileList{list}, nil
}

type fileList struct{ list *publicsuffix.List }

func (l fileList) Org(domain string) string {
	org, err := publicsuffix.DomainFromListWithOptions(l.list, normal(domain), &publicsuffix.FindOptions{DefaultRule: publicsuffix.DefaultRule})
	if err != nil {
		return "" // a suffix, an address, or an empty label
	}
	return org
}
