package setup

import (
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/policy"
)

const (
	settings = "connect_timeout=15s, command_timeout=30s, content_timeout=120s, default_action=accept"
	entry    = "{ unix:dmarcgate/milter.sock, " + settings + " }"
	repeats  = "non_smtpd_milters = $smtpd_milters\n"
	first    = "non_smtpd_milters = " + entry + "\n"
)

// service makes a line of master.cf: "smtp/inet smtpd y" and overrides.
func service(line string, overrides ...string) postfix.Service {
	words := strings.Fields(line)
	name, kind, _ := strings.Cut(words[0], "/")
	s := postfix.Service{Name: name, Type: kind, Program: words[1], Chroot: words[2], Overrides: map[string]string{}}
	for _, o := range overrides {
		k, v, _ := strings.Cut(o, "=")
		s.Overrides[k] = v
	}
	s.Written = s.Overrides
	return s
}

// instance makes one with these settings of main.cf, each name=value.
func instance(services []postfix.Service, main ...string) *postfix.Instance {
	i := &postfix.Instance{Dir: "/etc/postfix", Services: services, Set: map[string]string{}, Values: map[string]string{
		"mail_version": "3.7.11", "queue_directory": "/var/spool/postfix", "mail_owner": "postfix", "compatibility_level": "3.6", "milter_protocol": "6",
	}}
	for _, m := range main {
		k, v, _ := strings.Cut(m, "=")
		i.Set[k], i.Values[k] = v, v
	}
	return i
}

func target(profile policy.Profile) Target {
	return Target{Listener: "mta", Profile: profile, Address: config.Address{Network: "unix", Addr: "/var/spool/postfix/dmarcgate/milter.sock"}}
}

// steps are the changes of a plan, one a line.
func steps(p *Plan) string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, strings.TrimSpace(s.Service+" "+s.Change.String()))
	}
	return strings.Join(lines, "\n")
}

var smtpd = service("smtp/inet smtpd y")

func TestPlanPutsTheDaemonWhereItsFieldSurvives(t *testing.T) {
	fromAmavis := func() postfix.Service {
		return service("127.0.0.1:10025/inet smtpd n", "content_filter=", "mynetworks=127.0.0.0/8 [::1]/128")
	}
	for _, tt := range []struct {
		name     string
		services []postfix.Service
		main     []string
		want     string
	}{
		{"no milter yet", []postfix.Service{smtpd}, nil, repeats + "smtpd_milters = " + entry},
		{"behind OpenDKIM, whose settings stay", []postfix.Service{smtpd}, []string{"smtpd_milters={ inet:localhost:8891, default_action=accept }"},
			first + "smtpd_milters = { inet:localhost:8891, default_action=accept }, " + entry},
		{"behind OpenDKIM where it stood before", []postfix.Service{smtpd}, []string{"smtpd_milters=unix:dmarcgate/milter.sock, unix:opendkim/opendkim.sock"},
			first + "smtpd_milters = unix:opendkim/opendkim.sock, " + entry},
		{"before what rewrites subjects", []postfix.Service{smtpd}, []string{"smtpd_milters=inet:localhost:8891, unix:/spamass/spamass.sock"},
			first + "smtpd_milters = inet:localhost:8891, " + entry + ", unix:/spamass/spamass.sock"},
		{"a parameter stays one", []postfix.Service{smtpd}, []string{"smtpd_milters=$opendkim"}, first + "smtpd_milters = $opendkim, " + entry},
		{"a path that the chroot does not have", []postfix.Service{smtpd}, []string{"smtpd_milters=unix:/var/spool/postfix/dmarcgate/milter.sock"}, repeats + "smtpd_milters = " + entry},
		{"the other socket of the package leads to the same daemon", []postfix.Service{smtpd}, []string{"smtpd_milters=inet:localhost:8891, unix:/run/dmarcgate/milter.sock"},
			first + "smtpd_milters = inet:localhost:8891, " + entry},
		{"a milter with a name like ours stays", []postfix.Service{smtpd}, []string{"smtpd_milters=unix:not-dmarcgate/milter.sock"},
			first + "smtpd_milters = unix:not-dmarcgate/milter.sock, " + entry},
		{"our entry is right", []postfix.Service{smtpd}, []string{"smtpd_milters=inet:localhost:8891, " + entry, "non_smtpd_milters=" + entry}, ""},
		{"longer timeouts and further settings of our entry stay", []postfix.Service{smtpd}, []string{"smtpd_milters={ unix:dmarcgate/milter.sock, content_timeout=5m, connect_timeout=1s, default_action=reject }"},
			repeats + "smtpd_milters = { unix:dmarcgate/milter.sock, content_timeout=5m, connect_timeout=15s, default_action=accept, command_timeout=30s }"},
		{"an old protocol is overruled", []postfix.Service{smtpd}, []string{"milter_protocol=2"}, repeats + "smtpd_milters = { unix:dmarcgate/milter.sock, " + settings + ", protocol=6 }"},
		{"mail of this host keeps its signer, behind the daemon", []postfix.Service{smtpd}, []string{"smtpd_milters=inet:localhost:8891", "non_smtpd_milters=$smtpd_milters"},
			"non_smtpd_milters = " + entry + ", inet:localhost:8891\nsmtpd_milters = inet:localhost:8891, " + entry},
		{"mail of this host passes the daemon first", []postfix.Service{smtpd}, []string{"smtpd_milters=" + entry, "non_smtpd_milters=inet:localhost:8891, unix:dmarcgate/milter.sock"},
			"non_smtpd_milters = " + entry + ", inet:localhost:8891"},
		{"the same milters for mail of this host stay", []postfix.Service{smtpd}, []string{"smtpd_milters=" + entry, "non_smtpd_milters=${smtpd_milters}"}, ""},
		{"the daemon before the other milters, by a parameter", []postfix.Service{smtpd}, []string{"smtpd_milters=inet:localhost:8891, " + entry, "non_smtpd_milters=" + entry + ", $opendkim"}, ""},
		{"mail of this host that a content filter returns passes the daemon once", []postfix.Service{smtpd, service("spamassassin/unix pipe n")}, []string{"content_filter=spamassassin", "smtpd_milters=" + entry, "non_smtpd_milters=$smtpd_milters, inet:localhost:8891"},
			"non_smtpd_milters = inet:localhost:8891"},
		{"a service whose content filter returns mail by sendmail", []postfix.Service{service("smtp/inet smtpd y", "content_filter=spamassassin:"), service("spamassassin/unix pipe n")}, nil, "smtpd_milters = " + entry},
		{"mail from a content filter is not seen twice", []postfix.Service{smtpd, fromAmavis()}, []string{"smtpd_milters=inet:localhost:8891"},
			"127.0.0.1:10025/inet -o smtpd_milters=inet:localhost:8891\n" + first + "smtpd_milters = inet:localhost:8891, " + entry},
		{"also when the daemon is there already", []postfix.Service{smtpd, fromAmavis()}, []string{"smtpd_milters=" + entry}, "127.0.0.1:10025/inet -o smtpd_milters=\n" + strings.TrimSpace(repeats)},
		{"a filter's way back without milters stays", []postfix.Service{smtpd, service("127.0.0.1:10025/inet smtpd n", "content_filter=", "receive_override_options=no_header_body_checks,no_milters")}, nil, repeats + "smtpd_milters = " + entry},
		{"submission stays", []postfix.Service{smtpd, service("submission/inet smtpd y", "smtpd_sasl_auth_enable=yes")}, nil, repeats + "smtpd_milters = " + entry},
		{"submission with a signer of its own cleans mail before it signs", []postfix.Service{smtpd, service("submission/inet smtpd y", "smtpd_milters=inet:localhost:8891")}, nil,
			"submission/inet -o { smtpd_milters = {unix:dmarcgate/milter.sock," + strings.ReplaceAll(settings, ", ", ",") + "},inet:localhost:8891 }\n" + repeats + "smtpd_milters = " + entry},
		{"a list of the service itself is extended", []postfix.Service{service("smtp/inet smtpd y", "smtpd_milters=inet:localhost:8891")}, []string{"smtpd_milters=unix:other"},
			"smtp/inet -o { smtpd_milters = inet:localhost:8891,{unix:dmarcgate/milter.sock," + strings.ReplaceAll(settings, ", ", ",") + "} }\n" + strings.TrimSpace(first)},
		{"behind postscreen", []postfix.Service{service("smtp/inet postscreen y"), service("smtpd/pass smtpd y")}, nil, repeats + "smtpd_milters = " + entry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := instance(tt.services, tt.main...)
			p, err := PlanPostfix(i, target(policy.Monitor))
			if err != nil {
				t.Fatal(err)
			}
			if got := steps(p); got != tt.want {
				t.Errorf("plan =\n%s\nwant\n%s", got, tt.want)
			}
			for _, s := range p.Steps {
				if s.Why == "" {
					t.Errorf("the step %s has no reason", s)
				}
				carryOut(i, s.Change)
			}
			again, err := PlanPostfix(i, target(policy.Monitor))
			if err != nil || len(again.Steps) > 0 {
				t.Errorf("a second plan = %s, %v; want no change", steps(again), err)
			}
		})
	}
}

// carryOut makes a change in an instance as postconf does.
func carryOut(i *postfix.Instance, c postfix.Change) {
	if c.Service == "" {
		i.Set[c.Name], i.Values[c.Name] = c.New, c.New
		return
	}
	s, _ := i.Service(c.Service)
	s.Written[c.Name], s.Overrides[c.Name] = c.New, c.New
}

func TestPlanTellsWhyTheDaemonStandsBehindOpenDKIM(t *testing.T) {
	p, err := PlanPostfix(instance([]postfix.Service{smtpd}, "smtpd_milters=inet:localhost:8891"), target(policy.Monitor))
	if err != nil || !strings.Contains(p.Steps[1].Why, "OpenDKIM") || !strings.Contains(p.Steps[1].Why, "delete Authentication-Results") {
		t.Errorf("plan = %+v, %v; want the reason for the place", p, err)
	}
}

func TestPlanHasDefaultActionByTheProfile(t *testing.T) {
	for profile, want := range map[policy.Profile]string{policy.Monitor: "accept", policy.Conformant: "tempfail", policy.Strict: "tempfail"} {
		p, err := PlanPostfix(instance([]postfix.Service{smtpd}), target(profile))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := p.Milter.Setting("default_action"); got != want {
			t.Errorf("default_action with profile %s = %s; want %s", profile, got, want)
		}
	}
}

func TestPlanRefusesWhatAnAdministratorHasToDecide(t *testing.T) {
	elsewhere := target(policy.Monitor)
	elsewhere.Address.Addr = "/run/dmarcgate/milter.sock"
	odd := target(policy.Monitor)
	odd.Address.Addr = "/var/spool/postfix/a b.sock"
	old := instance([]postfix.Service{smtpd})
	old.Values["mail_version"] = "2.11.3"
	for _, tt := range []struct {
		name string
		i    *postfix.Instance
		t    Target
		want string
	}{
		{"a socket outside of the chroot", instance([]postfix.Service{smtpd}), elsewhere, `address = "unix:/var/spool/postfix/dmarcgate/milter.sock"`},
		{"a socket outside of the chroot of submission", instance([]postfix.Service{service("smtp/inet smtpd n"), service("submission/inet smtpd y")}), elsewhere, `address = "unix:/var/spool/postfix/dmarcgate/milter.sock"`},
		{"a path that main.cf cannot have", instance([]postfix.Service{smtpd}), odd, "without blanks"},
		{"a proxy filter", instance([]postfix.Service{service("smtp/inet smtpd y", "smtpd_proxy_filter=127.0.0.1:10024")}), target(policy.Monitor), "see no header"},
		{"no service for mail from outside", instance([]postfix.Service{service("submission/inet smtpd y")}), target(policy.Monitor), "no smtpd service"},
		{"Postfix 2", old, target(policy.Monitor), "Postfix 3.0"},
		{"a list that Postfix would refuse", instance([]postfix.Service{smtpd}, "smtpd_milters={ unix:a"), target(policy.Monitor), "missing '}'"},
	} {
		if _, err := PlanPostfix(tt.i, tt.t); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
}

func TestPlanTakesASocketElsewhereWithoutChroot(t *testing.T) {
	at := target(policy.Monitor)
	at.Address.Addr = "/run/dmarcgate/milter.sock"
	for address, want := range map[config.Address]string{
		at.Address:                                      "unix:/run/dmarcgate/milter.sock",
		{Network: "tcp", Addr: "0.0.0.0:8890"}:          "inet:127.0.0.1:8890",
		{Network: "tcp", Addr: "[::]:8890"}:             "inet:[::1]:8890",
		{Network: "tcp", Addr: "192.0.2.1:8890"}:        "inet:192.0.2.1:8890",
		{Network: "tcp", Addr: "mx.example:8890"}:       "inet:mx.example:8890",
		{Network: "unix", Addr: "/var/spool/postfix/x"}: "unix:x",
	} {
		at.Address = address
		p, err := PlanPostfix(instance([]postfix.Service{service("smtp/inet smtpd n")}), at)
		if err != nil || p.Milter.Address != want {
			t.Errorf("address %s: %+v, %v; want %s", address, p, err, want)
		}
	}
}

func TestChooseListenerFindsTheSocketThatSystemdPassed(t *testing.T) {
	cfg := &config.Config{Listeners: []config.Listener{{Name: "mta", Address: config.Address{Network: "systemd", Addr: "mta"}}}}
	both := []string{"unix:/run/x/milter.sock", "unix:/srv/postfix/x/milter.sock"}
	for _, tt := range []struct {
		name, queue string
		sockets     []string
		want        string
	}{
		{"Postfix, below its queue directory", "/srv/postfix", both, "unix:/srv/postfix/x/milter.sock"},
		{"another instance, outside of its queue directory", "/srv/postfix-out", both, "unix:/run/x/milter.sock"},
		{"Sendmail, in /run", "", []string{both[1], both[0]}, "unix:/run/x/milter.sock"},
		{"a directory whose name begins alike", "/srv/post", both, "unix:/run/x/milter.sock"},
		{"a port", "/srv/postfix", []string{"tcp:127.0.0.1:8893"}, "tcp:127.0.0.1:8893"},
	} {
		got, err := ChooseListener(cfg, "", tt.queue, map[string][]string{"mta": tt.sockets, "other": both})
		if err != nil || got.Address.String() != tt.want {
			t.Errorf("%s: socket = %v, %v; want %s", tt.name, got.Address, err, tt.want)
		}
	}
	// A daemon that does not run tells nothing.
	queue := t.TempDir()
	if _, err := ChooseListener(cfg, "", queue, nil); err == nil || !strings.Contains(err.Error(), queue+"/dmarcgate/milter.sock") {
		t.Errorf("without a socket: %v; want where the socket is missing", err)
	}
}

func FuzzPlanPostfix(f *testing.F) {
	f.Add("unix:a, { inet:localhost:8891, default_action=accept }", "$smtpd_milters", "unix:b")
	f.Add("{ {", "}", "{unix:dmarcgate/milter.sock,}")
	f.Fuzz(func(t *testing.T, main, local, own string) {
		i := instance([]postfix.Service{smtpd, service("smtp2/inet smtpd n", "smtpd_milters="+own), service("127.0.0.1:10025/inet smtpd n", "content_filter=")}, "smtpd_milters="+main, "non_smtpd_milters="+local)
		p, err := PlanPostfix(i, target(policy.Strict))
		if err != nil {
			return
		}
		for _, s := range p.Steps {
			if strings.ContainsAny(commandLine(s.Command("/etc/postfix"))+shown(s.String())+shown(s.Why), "\n\r\x1b") {
				t.Errorf("a step prints control characters: %q", s)
			}
			if s.Service != "" && strings.ContainsAny(s.New, " \t") {
				t.Errorf("postconf -P does not take %q", s.New)
			}
			carryOut(i, s.Change)
		}
		if again, err := PlanPostfix(i, target(policy.Strict)); err != nil || len(again.Steps) > 0 {
			t.Errorf("a second plan of %q, %q, %q = %v, %v; want no change", main, local, own, again, err)
		}
	})
}
