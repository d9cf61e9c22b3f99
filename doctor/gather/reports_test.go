package gather

import (
	"context"
	"errors"
	"slices"
	"testing"

	"dmarcgate/config"
	"dmarcgate/doctor"
	reportid "dmarcgate/report/identity"
)

func TestReportsAreCheckedWhereTheConfigurationHasAnAddress(t *testing.T) {
	want := []reportid.Finding{{Key: "selector", Text: "x", Fix: "y"}}
	o := Options{Reports: func(context.Context, *config.Config) ([]reportid.Finding, error) { return want, nil }}
	full := config.Reports{Organization: "R", Email: "dmarc@reports.example.org", Submitter: "reports.example.org", Selector: "r1", KeyFile: "/k", Smarthost: "h:25"}
	for _, tt := range []struct {
		name   string
		change func(*config.Reports)
		found  bool
	}{
		{"no address", func(r *config.Reports) { r.Email = "" }, false},
		{"an address while sending is off", func(r *config.Reports) { r.Selector = "" }, true},
		{"complete", func(r *config.Reports) { r.Send = true }, true},
		{"a key is missing, which check-config says", func(r *config.Reports) { r.Send, r.Selector = true, "" }, false},
	} {
		cfg, h := config.Default(), &doctor.Host{}
		cfg.Reports = full
		tt.change(&cfg.Reports)
		reports(t.Context(), &cfg, o)(h)
		if got := slices.Equal(h.Reports, want); got != tt.found || len(h.Unseen) > 0 {
			t.Errorf("%s: the findings are %v, not examined %v; want findings: %v", tt.name, h.Reports, h.Unseen, tt.found)
		}
		h = &doctor.Host{}
		if reports(t.Context(), &cfg, Options{})(h); h.Reports != nil {
			t.Errorf("%s, without a check: the findings are %v; want none", tt.name, h.Reports)
		}
	}
}

func TestReportsThatCannotBeCheckedAreNotExamined(t *testing.T) {
	cfg, h := config.Default(), &doctor.Host{}
	cfg.Reports.Email = "dmarc@reports.example.org"
	o := Options{Reports: func(context.Context, *config.Config) ([]reportid.Finding, error) {
		return nil, errors.New("permission denied")
	}}
	reports(t.Context(), &cfg, o)(h)
	if want := "identity of reports: permission denied"; len(h.Reports) > 0 || !slices.Equal(h.Unseen, []string{want}) {
		t.Errorf("the findings are %v, not examined %q; want %q alone", h.Reports, h.Unseen, want)
	}
}
