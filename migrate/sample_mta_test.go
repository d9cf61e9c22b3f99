//go:build mta

package migrate

import (
	"compress/gzip"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The sample configuration of Debian's package has each key commented out by one "#";
// prose has two.
var sampleKey = regexp.MustCompile(`(?m)^# ([A-Z][A-Za-z]+) `)

func TestImportKnowsEveryKeyOfTheSampleOfOpenDMARC(t *testing.T) {
	f, err := os.Open("../.cache/chain/current/usr/share/doc/opendmarc/opendmarc.conf.sample.gz")
	if err != nil {
		t.Fatalf("%v: run internal/mtatest/install.sh", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	sample, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range sampleKey.FindAllStringSubmatch(string(sample), -1) {
		if nearestKey(m[1]) == strings.ToLower(m[1]) {
			found++
			continue
		}
		t.Errorf("the sample has the key %s, which an import does not know", m[1])
	}
	if found < 35 {
		t.Errorf("the sample has %d keys; want at least 35", found)
	}
}
