package gather

import (
	"context"
	"slices"
	"testing"

	"dmarcgate/config"
	"dmarcgate/doctor"
	reportid "dmarcgate/report/identity"
)

func TestReportsAreCheckedWhereTheConfigurationHasAnAddress(t *testing.T) {
	want := []reportid.Finding{{Key: "selector", Text: "x", Fix: "y"}}
	o := Options{Reports: func(context.Context, *config.Config) []reportid.Finding { return want }}
	for email, wantFound := range map[string]bool{"": false, "dmarc@reports.example.org": true} {
		cfg, h := config.Default(), &doctor.Host{}
		cfg.Reports.Email = email
		reports(t.Context(), &cfg, o)(h)
		if got := slices.Equal(h.Reports, want); got != wantFound {
			t.Errorf("with email %q the findings are %v; want them: %v", email, h.Reports, wantFound)
		}
		reports(t.Context(), &cfg, Options{})(h)
		if h.Reports != nil {
			t.Errorf("without a check the findings are %v; want none", h.Reports)
		}
	}
}
