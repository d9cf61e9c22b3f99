package postfix

import (
	"reflect"
	"strings"
	"testing"
)

// What postconf of Postfix 3.7.11 prints.
const (
	fields = `smtp/inet/service = smtp
smtp/inet/type = inet
smtp/inet/private = n
smtp/inet/unprivileged = -
smtp/inet/chroot = y
smtp/inet/command = smtpd
127.0.0.1:10025/inet/service = 127.0.0.1:10025
127.0.0.1:10025/inet/chroot = n
127.0.0.1:10025/inet/command = smtpd -o receive_override_options=no_milters
private/filter/unix/chroot = -
private/filter/unix/command = pipe flags=Fq. user=filter
submission/inet/chroot = -
submission/inet/command = smtpd -o {smtpd_milters=unix:/a, unix:/b}
`
	overrides = `127.0.0.1:10025/inet/content_filter =
127.0.0.1:10025/inet/receive_override_options = no_header_body_checks,no_milters
submission/inet/smtpd_milters = unix:/a, unix:/b
unknown/inet/smtpd_milters = unix:/c
`
	values = `mail_version = 3.7.11
compatibility_level = 3.6
smtpd_milters = { unix:x, default_action=accept }
smtpd_recipient_restrictions =
`
)

func sample() *Instance {
	i := &Instance{Values: parseValues(values), Services: parseServices(fields)}
	addOverrides(i.Services, overrides, func(s Service) map[string]string { return s.Overrides })
	return i
}

func TestServicesHaveTheirColumnsAndOverrides(t *testing.T) {
	i := sample()
	var got []string
	for _, s := range i.Services {
		got = append(got, s.ID()+" "+s.Program)
	}
	if want := []string{"smtp/inet smtpd", "127.0.0.1:10025/inet smtpd", "private/filter/unix pipe", "submission/inet smtpd"}; !reflect.DeepEqual(got, want) {
		t.Errorf("services = %q; want %q", got, want)
	}
	s, ok := i.Service("127.0.0.1:10025/inet")
	if v, set := s.Overrides["content_filter"]; !ok || !set || v != "" || len(i.Smtpd()) != 3 {
		t.Errorf("service %+v, %v, of %d smtpd; want an empty content_filter, of 3", s, ok, len(i.Smtpd()))
	}
}

func TestMiltersOfAServiceFollowItsOverrides(t *testing.T) {
	i := sample()
	for id, want := range map[string]string{
		"smtp/inet":            "{ unix:x, default_action=accept }",
		"127.0.0.1:10025/inet": "",
		"submission/inet":      "unix:/a, unix:/b",
	} {
		s, _ := i.Service(id)
		list, err := i.Milters(s)
		if got := FormatMilters(list); err != nil || got != want {
			t.Errorf("Milters(%s) = %q, %v; want %q", id, got, err, want)
		}
	}
}

func TestChrootOfADashDependsOnTheCompatibilityLevel(t *testing.T) {
	i := sample()
	chrooted := func(id string) bool {
		s, _ := i.Service(id)
		return i.Chrooted(s)
	}
	if !chrooted("smtp/inet") || chrooted("127.0.0.1:10025/inet") || chrooted("submission/inet") {
		t.Error("chroot at level 3.6: want smtp alone")
	}
	i.Values["compatibility_level"] = "0"
	if !chrooted("submission/inet") || chrooted("127.0.0.1:10025/inet") {
		t.Error("chroot at level 0: want submission, whose column is a dash")
	}
}

func TestChangeHasItsCommandAndTheWayBack(t *testing.T) {
	for _, tt := range []struct {
		change     Change
		do, undone string
	}{
		{Change{Name: "smtpd_milters", New: "unix:a"}, "postconf -c /d -e smtpd_milters=unix:a", "postconf -c /d -X smtpd_milters"},
		{Change{Name: "smtpd_milters", Old: "unix:b", New: "unix:a", Was: true}, "postconf -c /d -e smtpd_milters=unix:a", "postconf -c /d -e smtpd_milters=unix:b"},
		{Change{Service: "submission/inet", Name: "smtpd_milters"}, "postconf -c /d -P submission/inet/smtpd_milters=", "postconf -c /d -PX submission/inet/smtpd_milters"},
	} {
		if do, undone := strings.Join(tt.change.Command("/d"), " "), strings.Join(tt.change.Undo("/d"), " "); do != tt.do || undone != tt.undone {
			t.Errorf("%+v: %q and back %q; want %q and %q", tt.change, do, undone, tt.do, tt.undone)
		}
	}
}

func FuzzParseInstance(f *testing.F) {
	f.Add(fields, overrides, values)
	f.Add("a/b/c", "a/b/ = x", " = \n=\n")
	f.Fuzz(func(t *testing.T, fields, overrides, values string) {
		i := &Instance{Values: parseValues(values), Services: parseServices(fields)}
		addOverrides(i.Services, overrides, func(s Service) map[string]string { return s.Overrides })
		for _, s := range i.Services {
			if found, ok := i.Service(s.ID()); !ok || found.ID() != s.ID() {
				t.Errorf("the service %q is not found again", s.ID())
			}
			i.Milters(s)
			i.Chrooted(s)
		}
		for name, value := range i.Values {
			if strings.ContainsAny(name+value, "\n") {
				t.Errorf("a line end in %q = %q", name, value)
			}
		}
	})
}
