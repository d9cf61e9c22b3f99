package reports

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/dnstest"
)

// identitySite is the configuration of a site that prepares reports, with a private key of
// this mode.
func identitySite(t *testing.T, dns string, mode os.FileMode, change func(string) string) *config.Config {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`authserv_id = "mx.example.org"
listener = [{name = "in", address = "local:/run/a.sock", profile = "strict"}]
[dns]
servers = [%q]
[reports]
organization = "Example Ltd"
email = "dmarc-reports@reports.example.org"
submitter = "reports.example.org"
selector = "r1"
key_file = %q
smarthost = "127.0.0.1:25"
tls = "none"
`, dns, path)
	cfg, err := config.Parse("f", []byte(change(text)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestCheckIdentityFindsWhatKeepsReportsBack(t *testing.T) {
	public := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))).Public().(ed25519.PublicKey)
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	zone := `
_dmarc.reports.example.org. TXT "v=DMARC1; p=reject"
reports.example.org. MX 10 mail.example.org.
reports.example.org. TXT "v=spf1 -all"
!any
`
	key := `r1._domainkey.reports.example.org. TXT "` + record + `"` + "\n"
	same := func(text string) string { return text }
	for _, tt := range []struct {
		name, zone string
		mode       os.FileMode
		change     func(string) string
		key, text  string // of the only finding; "" for none
		fix        string
	}{
		{"all is published", zone + key, 0o600, same, "", "", ""},
		{"no key in the DNS", zone, 0o600, same, "selector", "r1._domainkey.reports.example.org cannot be used", record},
		{"another key in the DNS", zone + strings.Replace(key, record, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", 1), 0o600, same, "key_file", "is not the key of key_file", record},
		{"a key that every user can read", zone + key, 0o644, same, "key_file", "mode 0644 lets every user of this host use the secret", "name a private key"},
		{"no key file", zone + key, 0o600, func(text string) string { return strings.Replace(text, "key.pem", "other.pem", 1) }, "key_file", "no such file", "name a private key"},
		{"a key of the configuration is missing", zone + key, 0o600, func(text string) string { return strings.Replace(text, "selector = \"r1\"\n", "", 1) }, "selector", "is not set", "set selector"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := CheckIdentity(t.Context(), identitySite(t, dnstest.New(t, tt.zone).Addr(), tt.mode, tt.change))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.key == "" && len(found) > 0:
				t.Errorf("found %+v; want nothing", found)
			case tt.key != "" && (len(found) != 1 || found[0].Key != tt.key || !strings.Contains(found[0].Text, tt.text) || !strings.Contains(found[0].Fix, tt.fix)):
				t.Errorf("found %+v; want %s: %s; %s", found, tt.key, tt.text, tt.fix)
			}
		})
	}
}
