package sendmail

import (
	"reflect"
	"strings"
	"testing"
)

const (
	socket = "S=local:/run/dmarcgate/milter.sock, F=T"
	ours   = "INPUT_MAIL_FILTER(`dmarcgate', `" + socket + "')dnl\n"
	dkim   = "INPUT_MAIL_FILTER(`opendkim', `S=inet:8891@localhost')dnl\n"
	mailer = "MAILER(`smtp')dnl\n"
)

func TestSetPutsTheMilterBehindTheOthers(t *testing.T) {
	for _, tt := range []struct{ name, mc, want string }{
		{"the first", "OSTYPE(`linux')dnl\n" + mailer, "OSTYPE(`linux')dnl\n" + ours + mailer},
		{"behind another", dkim + "dnl a comment\n" + mailer, dkim + ours + "dnl a comment\n" + mailer},
		{"a comment is no milter", "dnl " + dkim + mailer, "dnl " + dkim + ours + mailer},
		{"there already", dkim + ours + mailer, dkim + ours + mailer},
		{"in front of another", ours + dkim + mailer, dkim + ours + mailer},
		{"with other settings", "INPUT_MAIL_FILTER(`dmarcgate', `S=inet:1@localhost')dnl\n" + mailer, ours + mailer},
		{"defined and not asked", "MAIL_FILTER(`dmarcgate', `" + socket + "')\n" + mailer, ours + mailer},
		{"in a list", dkim + "define(`confINPUT_MAIL_FILTERS', `opendkim')dnl\n" + mailer, dkim + ours + "define(`confINPUT_MAIL_FILTERS', `opendkim,dmarcgate')dnl\n" + mailer},
		{"in front of another, in a list too", ours + dkim + "define(`confINPUT_MAIL_FILTERS', `dmarcgate, opendkim')dnl\n" + mailer, dkim + ours + "define(`confINPUT_MAIL_FILTERS', `opendkim,dmarcgate')dnl\n" + mailer},
		{"behind a list, to which the macro adds", dkim + "define(`confINPUT_MAIL_FILTERS', `opendkim')dnl\n" + ours + mailer, dkim + "define(`confINPUT_MAIL_FILTERS', `opendkim')dnl\n" + ours + mailer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Set(tt.mc, "dmarcgate", socket)
			if err != nil || got != tt.want {
				t.Errorf("Set =\n%s%v\nwant\n%s", got, err, tt.want)
			}
			if again, err := Set(got, "dmarcgate", socket); err != nil || again != got {
				t.Errorf("Set again =\n%s%v\nwant no change", again, err)
			}
		})
	}
}

func TestSetRefusesWhatM4WouldMisread(t *testing.T) {
	for _, mc := range []string{"", "OSTYPE(`linux')\n"} {
		if got, err := Set(mc, "dmarcgate", socket); err == nil {
			t.Errorf("Set(%q) = %q; want an error", mc, got)
		}
	}
	if got, err := Set(mailer, "dmarcgate", "S=local:/a'b"); err == nil {
		t.Errorf("Set with a quote = %q; want an error", got)
	}
}

func TestOptionAndEffectiveReadSendmailCF(t *testing.T) {
	cf := "# a comment\nO PidFile=/run/sendmail.pid\nO  Other=1\n#O PidFile=/x\nXdmarcgate, S=local:/a  \n\n"
	if got := Option(cf, "PidFile"); got != "/run/sendmail.pid" {
		t.Errorf("PidFile = %q", got)
	}
	if got := Option(cf, "RunAsUser"); got != "" {
		t.Errorf("RunAsUser = %q; want none", got)
	}
	if got, want := Effective(cf), "O PidFile=/run/sendmail.pid\nO  Other=1\nXdmarcgate, S=local:/a\n"; got != want {
		t.Errorf("Effective = %q; want %q", got, want)
	}
}

func FuzzSet(f *testing.F) {
	f.Add(dkim+mailer, "S=local:/a")
	f.Add("define(`confINPUT_MAIL_FILTERS', `a, b')\nMAILER(`x')", "")
	f.Fuzz(func(t *testing.T, mc, equates string) {
		got, err := Set(mc, "dmarcgate", equates)
		if err != nil {
			return
		}
		own, before := 0, []string(nil)
		var others []string
		for _, f := range Filters(got) {
			if f.Name != "dmarcgate" {
				others = append(others, f.Name)
			} else if own++; own == 1 && (f.Equates != equates || !f.Input) {
				t.Errorf("Set(%q) has %+v", mc, f)
			}
		}
		for _, f := range Filters(mc) {
			if f.Name != "dmarcgate" {
				before = append(before, f.Name)
			}
		}
		if own == 0 || !reflect.DeepEqual(others, before) {
			t.Errorf("Set(%q) = %q: milters %q, and %d of ours; want %q", mc, got, others, own, before)
		}
		if again, err := Set(got, "dmarcgate", equates); err != nil || again != got {
			t.Errorf("Set(%q) is not stable: %q, then %q, %v", mc, got, again, err)
		}
		for line := range strings.Lines(mc) {
			if line = strings.TrimRight(line, "\n"); !strings.Contains(line, "MAIL_FILTER") && !strings.Contains(got, line) {
				t.Errorf("Set(%q) = %q has lost the line %q", mc, got, line)
			}
		}
	})
}
