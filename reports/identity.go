package reports

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/report/identity"
	"dmarcgate/report/mail"
	"dmarcgate/report/sending"
	"dmarcgate/site"
	"dmarcgate/term"
)

// CheckIdentity checks the identity of reports as the daemon does before it sends any: by
// a report mail to nobody, which it makes and evaluates. Nothing is sent. An error says
// why nothing could be checked.
func CheckIdentity(ctx context.Context, cfg *config.Config) ([]identity.Finding, error) {
	if len(cfg.Reports.Missing()) > 0 {
		return identity.Check(ctx, nil, nil, site.ReportsOf(cfg, cfg.Reports.KeyFile).Gate.Identity, nil), nil
	}
	_, domain, _ := strings.Cut(cfg.Reports.Email, "@")
	key, err := mail.LoadKey(cfg.Reports.KeyFile, domain, cfg.Reports.Selector)
	var record string
	if err == nil {
		record, err = key.Record()
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, err // perhaps the daemon may read the key
	}
	if err != nil {
		return []identity.Finding{{Key: "key_file", Text: "the key cannot be used: " + term.ErrorText(err), Fix: "name a private key, RSA or Ed25519 in PEM, that other users of the host cannot read"}}, nil
	}
	id := site.ReportsOf(cfg, record).Gate.Identity
	probe, err := sending.Probe(id, time.Now(), key)
	if err != nil {
		return []identity.Finding{{Key: "email", Text: "no mail can be made: " + term.ErrorText(err), Fix: "write plain addresses and names"}}, nil
	}
	in, err := site.With(cfg, site.SuffixPart)
	if err != nil {
		return nil, err
	}
	dns, err := site.NewResolver(cfg, nil)
	if err != nil {
		return nil, err
	}
	defer dns.Close()
	return identity.Check(ctx, in.Checker(dns.View), dns.View(dnscache.DMARC), id, probe), nil
}
