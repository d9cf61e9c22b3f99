package migrate

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestMigratePageNamesEveryKeyOfOpenDMARC(t *testing.T) {
	page, err := os.ReadFile("../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Equivalents of opendmarc.conf\n")
	table, _, _ = strings.Cut(table, "\n## ")
	named := func(key string) bool {
		for _, m := range regexp.MustCompile("`([A-Za-z]+)(…?)`").FindAllStringSubmatch(table, -1) {
			if m[1] == key || m[2] != "" && strings.HasPrefix(key, m[1]) {
				return true
			}
		}
		return false
	}
	for _, k := range opendmarcKeys {
		if !named(k.name) && !strings.HasPrefix(k.name, "Forensic") { // the old name of FailureReports
			t.Errorf("docs/migrate.md has no row for %s", k.name)
		}
		said := 0
		for _, has := range []bool{k.take != nil, k.note != "", k.lost != ""} {
			if has {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s has %d of take, note and lost; want one", k.name, said)
		}
	}
}
