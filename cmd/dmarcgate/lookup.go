package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/message"
)

// resolverFlags choose the configuration and the DNS of a command that works
// without the daemon.
type resolverFlags struct {
	Config string   `short:"c" default:"${config}" help:"Configuration file; its absence means the defaults." type:"path"`
	DNS    []string `help:"DNS servers to ask instead of the configured ones, as ip:port." placeholder:"IP:PORT"`
}

// load reads the configuration, or takes the defaults when there is none at
// the default place.
func (r resolverFlags) load() (inputs, error) {
	cfg, err := config.Load(r.Config)
	if errors.Is(err, fs.ErrNotExist) && r.Config == defaultConfig {
		cfg, err = config.Parse("defaults", []byte("authserv_id = \"localhost\"\n[[listener]]\nname = \"none\"\naddress = \"tcp:127.0.0.1:0\"\nprofile = \"strict\"\n"))
	}
	if err != nil {
		return inputs{}, err
	}
	if len(r.DNS) > 0 {
		cfg.DNS.Servers = r.DNS
	}
	return withFiles(cfg)
}

type lookupCmd struct {
	resolverFlags
	Domain string `arg:"" help:"Domain of a From address."`
	JSON   bool   `help:"Print JSON."`
}

func (c *lookupCmd) Run(e *env) error {
	domain, err := message.ParseDomain(c.Domain)
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", c.Domain, err)
	}
	in, err := c.load()
	if err != nil {
		return err
	}
	dns, err := newResolver(in.cfg, nil)
	if err != nil {
		return err
	}
	defer dns.Close()
	ctx, cancel := context.WithTimeout(context.Background(), in.cfg.Limits.MessageBudget.Std())
	defer cancel()
	d := in.checker(dns.View).Finder.Find(ctx, domain)
	if c.JSON {
		err = json.NewEncoder(e.stdout).Encode(lookupJSON(d))
	} else {
		err = discoveryTree(d).print(e.stdout)
	}
	if err == nil && d.Err != nil {
		err = d.Err
	}
	return err
}

// discoveryTree shows a discovery with every name asked and every defect.
func discoveryTree(d dmarc.Discovery) *node {
	root := &node{text: d.Author}
	switch {
	case d.Err != nil:
		root.add("record: not known: %s", printable(d.Err.Error()))
	case d.Source == dmarc.SourceNone:
		root.add("record: none")
	default:
		r := root.add("record: %s", printable(d.Text))
		r.add("found at %s (%s)", d.PolicyDomain, sourceWords[d.Source])
		v := dmarc.Evaluate(d, nil)
		r.add("policy for failing mail of %s: %s, pct=%d, testing=%v", d.Author, v.Policy, v.Pct, v.Testing)
		r.add("alignment: DKIM %s, SPF %s", d.Record.ADKIM, d.Record.ASPF)
	}
	if d.Org != "" {
		root.add("organizational domain: %s (%s)", d.Org, d.Method)
	}
	if d.Existence == dmarc.Missing {
		root.add("%s does not exist: np applies", d.Author)
	}
	names := root.add("asked")
	for _, s := range d.Walk {
		step(names, s)
	}
	return root
}

var sourceWords = map[dmarc.Source]string{
	dmarc.SourceAuthor: "the author domain", dmarc.SourceOrg: "its organizational domain", dmarc.SourcePSD: "its public suffix",
}

// step shows one name of the walk.
func step(parent *node, s dmarc.Step) {
	n := parent.add("TXT %s", s.Name())
	switch {
	case s.Err != nil:
		n.add("no answer: %s", printable(s.Err.Error()))
	case len(s.Records) == 0 && s.Others > 0:
		n.add("no DMARC record, %d other TXT", s.Others)
	case len(s.Records) == 0:
		n.add("nothing")
	}
	for _, r := range s.Records {
		n.add("%s", printable(r))
	}
	for _, defect := range s.Defects {
		n.add("defect: %s; %s", defect, defect.Mend())
	}
}

type jsonStep struct {
	Name    string   `json:"name"`
	Records []string `json:"records"`
	Other   int      `json:"other_txt"`
	Error   string   `json:"error,omitempty"`
	Defects []string `json:"defects,omitempty"`
}

type jsonDiscovery struct {
	Domain       string     `json:"domain"`
	Org          string     `json:"organizational_domain,omitempty"`
	PolicyDomain string     `json:"policy_domain,omitempty"`
	Source       string     `json:"source"`
	Record       string     `json:"record,omitempty"`
	Policy       string     `json:"policy"`
	Error        string     `json:"error,omitempty"`
	Asked        []jsonStep `json:"asked"`
}

func lookupJSON(d dmarc.Discovery) jsonDiscovery {
	out := jsonDiscovery{
		Domain: d.Author, Org: d.Org, PolicyDomain: d.PolicyDomain, Source: d.Source.String(),
		Record: d.Text, Policy: dmarc.Evaluate(d, nil).Policy.String(), Error: errorText(d.Err),
	}
	for _, s := range d.Walk {
		j := jsonStep{Name: s.Name(), Records: s.Records, Other: s.Others, Error: errorText(s.Err)}
		for _, defect := range s.Defects {
			j.Defects = append(j.Defects, defect.String()+"; "+defect.Mend())
		}
		out.Asked = append(out.Asked, j)
	}
	return out
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// traced collects the lookups of a resolver.
func traced(dns *dnscache.Resolver, f func(dnscache.Lookup)) func(dnscache.Purpose) dnscache.View {
	return func(p dnscache.Purpose) dnscache.View { return dns.View(p).Traced(f) }
}
