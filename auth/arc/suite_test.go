package arc

import (
	"context"
	"strings"
	"testing"

	"dmarcgate/auth/dkim"
	mail "dmarcgate/message"

	"dmarcgate/internal/suites"
)

// texts is DNS with one TXT record at a name.
type texts map[string]string

func (z texts) TXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := z[name]; ok {
		return []string{txt}, nil
	}
	return nil, nil
}

// headerOf takes a message apart.
func headerOf(text string) (mail.Header, []byte) {
	raw, body := mail.Split([]byte(text))
	h := make(mail.Header, len(raw))
	for i, f := range raw {
		h[i] = mail.NewField(f)
	}
	return h, body
}

// validate gives a message to both Runs, the body in pieces.
func validate(r dkim.Resolver, text string) Result {
	h, body := headerOf(text)
	d := dkim.Start(context.Background(), r, h, dkim.Options{})
	a := Start(d)
	for len(body) > 0 {
		n := min(7, len(body))
		d.Write(body[:n])
		body = body[n:]
	}
	res := a.Finish(context.Background())
	d.Finish()
	return res
}

// TestARCValidationSuite has the half of the suite of ValiMail that is not
// about signing. It was written for a draft; where it leaves the result open
// the chain fails.
func TestARCValidationSuite(t *testing.T) {
	docs, err := suites.YAML(string(suites.Read(t, "arc-validation/arc-validation-half.yml")))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, doc := range docs {
		zone := texts{}
		records := doc.Get("txt-records")
		for i, name := range records.Keys {
			zone[name] = records.Items[i].Text
		}
		tests := doc.Get("tests")
		for i, name := range tests.Keys {
			cases++
			c := tests.Items[i]
			t.Run(name, func(t *testing.T) {
				want := strings.ToLower(c.Get("cv").Text)
				if want == "" {
					want = "fail"
				}
				got := validate(zone, c.Get("message").Text)
				if got.Status.String() != want || (got.Why == "") != (got.Status == None) {
					t.Errorf("%s: result = %+v; want %s", c.Get("description").Text, got, want)
				}
			})
		}
	}
	if cases != 87 {
		t.Errorf("%d cases read; want 87", cases)
	}
}
