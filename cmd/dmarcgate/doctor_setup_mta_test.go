//go:build mta

package main

import (
	"encoding/json"
	"os/exec"
	"testing"

	"dmarcgate/doctor"
	"dmarcgate/internal/mtatest"
)

// doctor runs the built program, as the daemon of the host is that program.
func (s *setupHost) doctor() (faults, out string) {
	s.t.Helper()
	text, _ := exec.CommandContext(s.t.Context(), binary(s.t), "doctor", "--json", "-c", s.config(), "--postfix-dir", s.conf).Output()
	var said struct {
		Findings []doctor.Finding `json:"findings"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		s.t.Fatalf("doctor: %q: %v", text, err)
	}
	return faultIDs(said.Findings), string(text)
}

// What doctor finds and setup can fix is fixed by setup, and found no longer.
func TestDoctorFindsNothingAfterSetup(t *testing.T) {
	t.Parallel() // it waits for Postfix most of the time
	s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{MasterCF: "filter unix - n n - - pipe user=nobody argv=/bin/true\n"})
	d := s.start()
	defer d.stop()
	const entry = "{ unix:dmarcgate/milter.sock, default_action=accept }"
	for _, tt := range []struct {
		name, milters string
		more          []string
		want          string
	}{
		{"no milter", "", nil, "not_attached"},
		{"the path outside of the chroot", "{ unix:" + s.socket + ", default_action=accept }", nil, "socket_chroot"},
		{"a socket in another directory", "{ unix:old/dmarcgate/milter.sock, default_action=accept }", nil, "socket_other"},
		{"the default action", "unix:dmarcgate/milter.sock", nil, "default_action"},
		{"a short time-out", "{ unix:dmarcgate/milter.sock, default_action=accept, content_timeout=5s }", nil, "timeout"},
		{"an old protocol", entry, []string{"milter_protocol=2"}, "milter_protocol"},
		{"mail of sendmail passes no milter", entry, []string{"non_smtpd_milters="}, "non_smtpd_milters"},
		{"a content filter returns mail by sendmail", entry, []string{"content_filter=filter:x"}, "pickup_reinjects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := append([]string{"smtpd_milters=" + tt.milters, "non_smtpd_milters=$smtpd_milters", "milter_protocol=6", "content_filter="}, tt.more...)
			if err := s.postfix.Postconf(settings...); err != nil {
				t.Fatal(err)
			}
			if got, out := s.doctor(); got != tt.want {
				t.Errorf("doctor before setup finds %q; want %q\n%s", got, tt.want, out)
			}
			s.mustSetup("", "--apply")
			if got, out := s.doctor(); got != "" {
				t.Errorf("doctor after setup finds %q; want nothing\n%s", got, out)
			}
			s.mustSetup("is without the changes", "--undo")
			if got, out := s.doctor(); got != tt.want {
				t.Errorf("doctor after setup --undo finds %q; want %q again\n%s", got, tt.want, out)
			}
		})
	}
}
