package rooms

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// temporaryReply is a call that makes a reply with a 4xx code.
var temporaryReply = regexp.MustCompile(`Refuse\((4[0-9]{2}), "(4\.[0-9]+\.[0-9]+)"`)

func TestTemporaryFailuresPageListsEveryReplyOfTheSource(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/temporary-failures.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range temporaryReply.FindAllSubmatch(text, -1) {
			found++
			if reply := "| `" + string(m[1]) + " " + string(m[2]) + " "; !strings.Contains(string(page), reply) {
				t.Errorf("%s replies %s %s, and docs/temporary-failures.md has no row for this reply", s.path, m[1], m[2])
			}
		}
	}
	if found < 3 {
		t.Errorf("found %d temporary replies in the source; want at least 3", found)
	}
}
