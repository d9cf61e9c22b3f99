package explain

import (
	"strings"
	"testing"

	"dmarcgate/policy"
)

func TestTreeSaysThatARuleWasNotTried(t *testing.T) {
	x := Explanation{stored: true, wanted: "r", Facts: policy.Facts{Listener: "gone"}}
	var out strings.Builder
	if err := x.Tree().Print(&out); err != nil || !strings.Contains(out.String(), `rule r: not tried, because the configuration has no listener "gone"`) {
		t.Errorf("tree = %s, %v; want that the rule was not tried", out.String(), err)
	}
}
