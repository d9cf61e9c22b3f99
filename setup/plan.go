package setup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dmarcgate/mta/postfix"
)

// Step is one change of the configuration of Postfix, with its reason.
type Step struct {
	postfix.Change
	Why string
}

// Plan is what has to change in one instance of Postfix.
type Plan struct {
	Milter postfix.Milter    // our entry
	Steps  []Step            // none when the instance is as it should be
	Asking []postfix.Service // the smtpd services that will ask the daemon for mail of other hosts
	Kept   []string          // services that stay as they are, with the reason
}

// planner makes a plan.
type planner struct {
	*Plan
	i    *postfix.Instance
	main []postfix.Milter // smtpd_milters of main.cf as written
}

// PlanPostfix finds the changes that have the services of an instance that receive
// mail ask the daemon at t. It changes nothing. An error says what an administrator
// has to decide first.
func PlanPostfix(i *postfix.Instance, t Target) (*Plan, error) {
	if major, _, _ := strings.Cut(i.Version(), "."); number(major) < 3 {
		return nil, fmt.Errorf("this is Postfix %s: settings of one milter need Postfix 3.0", i.Version())
	}
	p := planner{&Plan{}, i, nil}
	var inherit bool // a receiving service takes the list of main.cf
	var others, own []postfix.Service
	chrooted := false
	for _, s := range i.Smtpd() {
		_, overridden := s.Overrides["smtpd_milters"]
		switch r := roleOf(i, s); r {
		case receives:
			if filter := i.Value(s, "smtpd_proxy_filter"); filter != "" {
				return nil, fmt.Errorf("%s has smtpd_proxy_filter = %s: its milters see no header. Set smtpd_milters on the service that gets the mail back from the filter, and name the filter's host in [[trusted_relay]]", s.ID(), filter)
			}
			p.Asking = append(p.Asking, s)
			chrooted = chrooted || i.Chrooted(s)
			inherit = inherit || !overridden
			if overridden {
				own = append(own, s)
			}
		default:
			others = append(others, s)
			chrooted = chrooted || r == submits && i.Chrooted(s)
		}
	}
	if len(p.Asking) == 0 {
		return nil, errors.New("no smtpd service of master.cf takes mail from other hosts and may ask milters")
	}
	var err error
	if p.Milter, err = t.milter(i, chrooted); err != nil {
		return nil, err
	}
	if p.main, err = postfix.ParseMilters(i.Set["smtpd_milters"]); err != nil {
		return nil, fmt.Errorf("smtpd_milters of main.cf: %w", err)
	}
	return p.Plan, p.plan(inherit, own, others)
}

func (p planner) plan(inherit bool, own, others []postfix.Service) error {
	for _, s := range others {
		if err := p.spare(s, inherit); err != nil {
			return err
		}
	}
	for _, s := range own {
		if err := p.extend(s, func(list []postfix.Milter) ([]postfix.Milter, string) { return placed(list, p.Milter, p.i.QueueDir()) }); err != nil {
			return err
		}
	}
	p.local(inherit)
	if inherit {
		list, why := placed(p.main, p.Milter, p.i.QueueDir())
		p.set("smtpd_milters", p.main, list, why)
	}
	return nil
}

// spare keeps the daemon away from a service that gets mail back from a filter, has
// a submission service with a list of its own ask the daemon, and tells why the
// others stay as they are.
func (p planner) spare(s postfix.Service, inherit bool) error {
	_, overridden := s.Overrides["smtpd_milters"]
	switch r := roleOf(p.i, s); {
	case r == unasked:
		p.Kept = append(p.Kept, s.ID()+": asks no milter, as master.cf or main.cf says")
	case r == submits && overridden:
		return p.extend(s, func(list []postfix.Milter) ([]postfix.Milter, string) {
			return foremost(list, p.Milter, p.i.QueueDir()), "the daemon removes forged results, and does not evaluate mail of authenticated users; a milter that signs comes behind"
		})
	case r == submits:
		p.Kept = append(p.Kept, s.ID()+": asks the daemon too, which removes forged results and does not evaluate mail of authenticated users")
	case overridden:
		p.Kept = append(p.Kept, s.ID()+": has its own smtpd_milters in master.cf, and takes mail back from a content filter")
	case inherit:
		list := without(p.main, p.Milter, p.i.QueueDir())
		value, err := compact(list)
		if err != nil {
			return fmt.Errorf("%s takes mail back from a content filter and needs smtpd_milters without the daemon: %w", s.ID(), err)
		}
		why := "takes mail back from a content filter of this host: the daemon has seen it, and would remove its own results as forged"
		if len(list) > 0 {
			why += "; the other milters stay"
		}
		p.Steps = append(p.Steps, Step{postfix.Change{Service: s.ID(), Name: "smtpd_milters", New: value}, why})
	}
	return nil
}

// extend puts our entry into the list that a service has of its own, where place says.
func (p planner) extend(s postfix.Service, place func([]postfix.Milter) (list []postfix.Milter, why string)) error {
	have, err := postfix.ParseMilters(s.Written["smtpd_milters"])
	if err != nil {
		return fmt.Errorf("smtpd_milters of %s: %w", s.ID(), err)
	}
	list, why := place(have)
	if same(have, list) {
		return nil
	}
	value, err := compact(list)
	if err != nil {
		return fmt.Errorf("smtpd_milters of %s: %w", s.ID(), err)
	}
	p.Steps = append(p.Steps, Step{postfix.Change{Service: s.ID(), Name: "smtpd_milters", Old: s.Written["smtpd_milters"], New: value, Was: true}, "this service has a list of its own; " + why})
	return nil
}

// local has the daemon clean mail of this host, before a signer signs the mail. Where
// a content filter returns mail through sendmail(1), the daemon would see a message
// twice, and stays out. inherit says that smtpd_milters of main.cf gets the daemon.
func (p planner) local(inherit bool) {
	have, err := postfix.ParseMilters(p.i.Set["non_smtpd_milters"])
	if err != nil {
		return // Postfix says it with each message; it is not ours
	}
	main, queue := p.main, p.i.QueueDir()
	if inherit {
		main, _ = placed(p.main, p.Milter, queue)
	}
	list := expanded(have, main)
	cleanup, _ := p.i.Service("cleanup/unix")
	switch filter := p.piped(); {
	case filter != "":
		p.set("non_smtpd_milters", list, without(list, p.Milter, queue), "the content filter "+filter+" returns mail through sendmail(1): the daemon has seen the mail, and would remove its own results as forged; the other milters stay")
	case p.i.Chrooted(cleanup) && strings.HasPrefix(p.Milter.Address, "unix:/"):
		p.Kept = append(p.Kept, "non_smtpd_milters: cleanup(8) runs in the chroot "+queue+" and cannot reach "+p.Milter.Address)
	default:
		want := foremost(list, p.Milter, queue)
		if len(list) == 0 && len(main) == 1 && inherit {
			want = []postfix.Milter{{Address: "$smtpd_milters"}}
		}
		p.set("non_smtpd_milters", list, want, "the daemon removes forged results from mail of sendmail(1) and does not evaluate the mail; a milter that signs comes behind")
	}
}

// piped is a content filter of mail from outside that returns mail through
// sendmail(1), or "".
func (p planner) piped() string {
	for _, s := range p.Asking {
		if filter := p.i.Value(s, "content_filter"); p.i.Piped(filter) {
			return filter
		}
	}
	return ""
}

// expanded is a list with the milters of smtpd_milters for this parameter.
func expanded(list, main []postfix.Milter) (out []postfix.Milter) {
	for _, m := range list {
		if name, found := strings.CutPrefix(m.Address, "$"); found && strings.Trim(name, "{}()") == "smtpd_milters" {
			out = append(out, main...)
		} else {
			out = append(out, m)
		}
	}
	return out
}

// set adds a step for a list of main.cf, unless have is that list.
func (p planner) set(name string, have, list []postfix.Milter, why string) {
	if same(have, list) {
		return
	}
	old, was := p.i.Set[name]
	p.Steps = append(p.Steps, Step{postfix.Change{Name: name, Old: old, New: postfix.FormatMilters(list), Was: was}, why})
}

func same(a, b []postfix.Milter) bool {
	return postfix.FormatMilters(a) == postfix.FormatMilters(b)
}

// compact writes a list without a blank: postconf -P accepts none in a value.
func compact(list []postfix.Milter) (string, error) {
	text := postfix.FormatMilters(list)
	text = strings.NewReplacer(", ", ",", "{ ", "{", " }", "}", " = ", "=").Replace(text)
	again, err := postfix.ParseMilters(text)
	if err != nil || strings.ContainsAny(text, " \t\r\n") || !same(list, again) {
		return "", fmt.Errorf("postconf cannot write %s into master.cf, for it has blanks: edit master.cf by hand", postfix.FormatMilters(list))
	}
	return text, nil
}

// number reads a decimal number; what is none is 0.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
