package lint

import (
	"fmt"
	"strings"
	"sync"

	"dmarcgate/policy/pattern"
)

// mailerKind is why a domain speaks for anybody.
type mailerKind uint8

const (
	mailboxes mailerKind = iota // mailbox providers
	bulk                        // services that send for their customers
	hosting                     // hosters, clouds and content networks: servers for everybody
	sealing                     // of these, only the seals of ARC are for everybody
)

var mailerKinds = []string{"a mailbox provider", "a service that sends for its customers", "a hoster or cloud", "a sealer for everybody"}

func (k mailerKind) String() string { return mailerKinds[k] }

// mailer is a well-known domain for which SPF or DKIM passes, or which names
// clients, for everybody who gets an account there. The names below it are the
// same.
type mailer struct {
	domain string
	kind   mailerKind
}

// mailerDomains is a closed list, of what postmasters do name in rules by
// mistake; no such list can be complete. The domain that a company writes its
// own mail from is left out where its customers do not use it.
var mailerDomains = [...]string{
	mailboxes: `
		gmail.com googlemail.com google.com 1e100.net gappssmtp.com googlegroups.com
		outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp hotmail.com hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es
		live.com live.co.uk live.fr live.nl live.ca msn.com passport.com onmicrosoft.com office365.com
		yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.it yahoo.es yahoo.ca yahoo.in yahoo.co.in yahoo.com.br yahoo.com.ar yahoo.com.mx yahoo.com.au
		yahoo.co.jp ymail.com rocketmail.com aol.com aim.com verizon.net att.net sbcglobal.net comcast.net cox.net
		icloud.com me.com mac.com
		gmx.com gmx.net gmx.de gmx.at gmx.ch web.de mail.com freenet.de t-online.de
		mail.ru bk.ru inbox.ru list.ru internet.ru yandex.ru yandex.com yandex.net ya.ru rambler.ru
		qq.com foxmail.com 163.com 126.com yeah.net sina.com sina.cn sohu.com aliyun.com naver.com daum.net hanmail.net rediffmail.com
		proton.me protonmail.com protonmail.ch pm.me tutanota.com tuta.io tuta.com fastmail.com fastmail.fm messagingengine.com
		zoho.com zoho.eu zoho.in zohomail.com hushmail.com posteo.de mailbox.org runbox.com disroot.org riseup.net migadu.com
		orange.fr wanadoo.fr free.fr laposte.net sfr.fr libero.it virgilio.it tiscali.it alice.it
		wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz abv.bg ukr.net uol.com.br bol.com.br terra.com.br btinternet.com ntlworld.com
		bigpond.com optusnet.com.au telus.net shaw.ca rogers.com ziggo.nl telenet.be bluewin.ch
		emailsrvr.com privateemail.com hostedemail.com titan.email improvmx.com forwardemail.net groups.io`,
	bulk: `
		sendgrid.net sendgrid.info amazonses.com mailgun.org mailgun.net mandrillapp.com
		mcsv.net rsgsv.net mcdlv.net mailchimpapp.net mcusercontent.com
		sparkpostmail.com sparkpostmail1.com sendinblue.com sender-sib.com brevosend.com mailjet.com mailjet.net
		mtasv.net constantcontact.com ccsend.com salesforce.com exacttarget.com exct.net pardot.com
		hubspotemail.net hubspotservers.com hs-send.com hs-inbox.com zendesk.com zendeskmail.com freshdesk.com freshemail.io intercom-mail.com
		elasticemail.com smtp2go.com smtp2go.net turbo-smtp.com mailersend.net mlsend.com klaviyomail.com
		activehosted.com acems1.com acems2.com cmail19.com cmail20.com createsend.com getresponse-mail.com aweber.com customeriomail.com
		mktomail.com mktdns.com responsys.net rsys5.com bluehornet.com emarsys.net emsecure.net oracleemaildelivery.com
		crsend.com rapidmail.com agnitas.de sendpulse.com unisender.com dotmailer.com moosend.com omnisend.com
		convertkit-mail.com convertkit-mail2.com substack.com resend.dev docusign.net shopifyemail.com myshopify.com wixemails.com squarespace-mail.com
		atlassian.net service-now.com`,
	hosting: `
		amazonaws.com cloudfront.net googleusercontent.com appspotmail.com appspot.com
		cloudapp.net azure.com azurewebsites.net windows.net
		ovh.net kimsufi.com soyoustart.com your-server.de your-cloud.host hetzner.cloud
		linode.com linodeusercontent.com digitalocean.com vultrusercontent.com choopa.net online.net poneytelecom.eu
		contabo.net contaboserver.net contabo.host leaseweb.net kundenserver.de perfora.net stratoserver.net rzone.de netcup.net ultrasrv.de
		secureserver.net bluehost.com hostgator.com websitewelcome.com unifiedlayer.com dreamhost.com sgvps.net
		mailspamprotection.com mailchannels.net antispamcloud.com hostingermail.com one.com web-hosting.com registrar-servers.com
		aruba.it arubacloud.com register.it loopia.se home.pl
		cloudflare.net cloudflare-email.net fastly.net akamaitechnologies.com fly.dev herokuapp.com
		aliyuncs.com myqcloud.com sakura.ne.jp xserver.jp timeweb.ru beget.com
		upcloud.host hostwindsdns.com colocrossing.com quadranet.com`,
	sealing: `microsoft.com`,
}

// mailersByName also has every name that mailers are below.
type mailersByName struct {
	list    []mailer
	mailers map[string]mailer
	below   map[string]mailer
}

var knownMailers = sync.OnceValue(func() mailersByName {
	all := mailersByName{mailers: map[string]mailer{}, below: map[string]mailer{}}
	for kind, domains := range mailerDomains {
		for domain := range strings.FieldsSeq(domains) {
			m := mailer{domain, mailerKind(kind)}
			all.list = append(all.list, m)
			all.mailers[domain] = m
			for parent := range pattern.Above(domain) {
				all.below[parent] = m
			}
		}
	}
	return all
})

// mailerOf returns a mailer of which p holds a domain.
func mailerOf(p pattern.Domain) (mailer, bool) {
	all := knownMailers()
	if p.Map() != nil {
		return all.in(p.Map())
	}
	if m, ok := all.of(p.Name()); ok {
		return m, true
	}
	m, ok := all.below[p.Name()]
	return m, ok && p.Kind() == pattern.Below
}

// of returns the mailer that domain is, or is below.
func (all mailersByName) of(domain string) (mailer, bool) {
	if m, ok := all.mailers[domain]; ok {
		return m, true
	}
	for parent := range pattern.Above(domain) {
		if m, ok := all.mailers[parent]; ok {
			return m, true
		}
	}
	return mailer{}, false
}

// in returns a mailer that a map holds, itself or the names below it. A single
// name below one is not looked for: there can be a million in the map.
func (all mailersByName) in(list *pattern.DomainMap) (mailer, bool) {
	for _, m := range all.list {
		if list.Holds(m.domain, "-") || list.Has(pattern.NewDomain(pattern.Below, m.domain)) {
			return m, true
		}
	}
	return mailer{}, false
}

// signsForTenant reports whether p is the name of one customer, which nobody
// else can have signed: Microsoft 365 and Google Workspace sign so for domains
// without a key of their own. SPF and names of clients tell nothing of that
// kind, since the servers are the same for all.
func (m mailer) signsForTenant(p pattern.Domain) bool {
	return p.Kind() == pattern.Exact && p.Name() != m.domain && (m.domain == "onmicrosoft.com" || m.domain == "gappssmtp.com")
}

// nameIn tells where a rule names it.
func (m mailer) nameIn(p pattern.Domain) string {
	switch {
	case p.Map() != nil:
		return fmt.Sprintf("%q, in %q,", m.domain, p)
	case p.Name() == m.domain:
		return fmt.Sprintf("%q", p)
	}
	return fmt.Sprintf("%q (%s)", p, m.domain)
}

// SharedSender returns the well-known sender for everybody that a domain is or is
// below, and of what kind it is: who lets it in by SPF lets in all its customers.
// ok is false for all other domains; the list cannot be complete.
func SharedSender(domain string) (name, kind string, ok bool) {
	m, ok := knownMailers().of(domain)
	if !ok || m.kind == sealing {
		return "", "", false
	}
	return m.domain, m.kind.String(), true
}
