package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/term"
)

// reloadTime is how long a command such as postfix reload may take.
const reloadTime = 30 * time.Second

// Options say which MTA is set up and how.
type Options struct {
	Config   *config.Config
	Listener string // "" is the only one
	Dir      string // configuration directory of the Postfix instance; "" is that of postconf
	NoProbe  bool   // send no message

	Client *admin.Client // of the daemon, which tells that it has seen the message
	Out    io.Writer

	// Guard starts a process that calls Recover with dir when this process has
	// ended without calling release, even by kill -9.
	Guard func(dir string) (release func(), err error)
}

// Postfix prints what has to change in an instance of Postfix.
func Postfix(ctx context.Context, o Options) error {
	i, p, t, err := o.read(ctx)
	if err != nil {
		return err
	}
	p.print(o.Out, i, t)
	if len(p.Steps) > 0 {
		fmt.Fprintln(o.Out, "\nTo make these changes, with a test and a way back: dmarcgate setup postfix --apply")
	}
	return nil
}

// read makes the plan.
func (o *Options) read(ctx context.Context) (*postfix.Instance, *Plan, Target, error) {
	i, err := postfix.Read(ctx, o.Dir)
	if err != nil {
		return nil, nil, Target{}, err
	}
	t, err := ChooseListener(o.Config, o.Listener, i.QueueDir(), o.bound(ctx))
	if err != nil {
		return nil, nil, Target{}, err
	}
	p, err := PlanPostfix(i, t)
	return i, p, t, err
}

// ApplyPostfix makes the changes. Before, it connects to the socket as smtpd does;
// afterwards it sends a message and asks the daemon whether it has seen it. If
// anything fails, Postfix is as before. Without changes it only checks.
func ApplyPostfix(ctx context.Context, o Options) error {
	if os.Geteuid() != 0 {
		return term.Usagef("--apply: only root can change the configuration of Postfix")
	}
	i, _, _, err := o.read(ctx)
	if err != nil {
		return err
	}
	j, err := o.repaired(ctx, i.Dir, false)
	if err != nil {
		return err
	}
	defer j.close()
	i, p, t, err := o.read(ctx) // the former files may be back
	if err != nil {
		return err
	}
	p.print(o.Out, i, t)
	if err := reach(ctx, i, p); err != nil {
		return err
	}
	if len(p.Steps) == 0 {
		return o.probe(ctx, i, p, t)
	}
	release, err := o.guard(i.Dir)
	if err != nil {
		return err
	}
	defer release()
	err = o.change(ctx, j, i, p, t)
	if err == nil {
		fmt.Fprintln(o.Out, "done; to take the changes back: dmarcgate setup postfix --undo")
		return nil
	}
	// The context may have ended: going back does not depend on it.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*reloadTime)
	defer cancel()
	if failed := o.repair(back, j); failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w; Postfix is as it was before", err)
}

// repaired opens the journal of an instance and moves the former files of an
// attempt back that did not finish. main.cf is the last file: until it is replaced,
// the services behave as before.
func (o *Options) repaired(ctx context.Context, dir string, wait bool) (*journal, error) {
	j, err := openJournal(dir, wait, "master.cf", "main.cf")
	if err != nil {
		return nil, err
	}
	if err := o.repair(ctx, j); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func (o *Options) guard(dir string) (release func(), err error) {
	if o.Guard == nil || !guarded() {
		return func() {}, nil
	}
	return o.Guard(dir)
}

// repair moves the former files of an attempt back that did not finish.
func (o *Options) repair(ctx context.Context, j *journal) error {
	moved, err := j.recover()
	if moved {
		fmt.Fprintf(o.Out, "the former files of %s are back\n", j.dir)
		if running(ctx, j.dir) {
			err = errors.Join(err, reload(ctx, j.dir))
		}
	}
	return err
}

// Recover moves the former files back when the process that changed them has ended
// half-way. It is what a guard does.
func Recover(ctx context.Context, dir string, out io.Writer) error {
	o := Options{Out: out}
	j, err := o.repaired(ctx, dir, true)
	if err == nil {
		j.close()
	}
	return err
}

// change edits copies, puts them into place and proves that they work.
func (o *Options) change(ctx context.Context, j *journal, i *postfix.Instance, p *Plan, t Target) error {
	if err := j.begin(); err != nil {
		return err
	}
	reached("begun")
	var changes []postfix.Change
	for _, s := range p.Steps {
		if err := runIn(ctx, s.Command(j.edited())); err != nil {
			return err
		}
		changes = append(changes, s.Change)
	}
	reached("edited")
	if err := verify(ctx, j, t); err != nil {
		return err
	}
	if err := j.swap(); err != nil {
		return err
	}
	if err := o.activate(ctx, i, p, t); err != nil {
		return err
	}
	reached("probed")
	return j.finish(changes)
}

// verify reads the edited copies: nothing must be left to change.
func verify(ctx context.Context, j *journal, t Target) error {
	i, err := postfix.Read(ctx, j.edited())
	if err != nil {
		return err
	}
	p, err := PlanPostfix(i, t)
	if err == nil && len(p.Steps) > 0 {
		err = fmt.Errorf("postconf did not make the change %s", p.Steps[0])
	}
	return err
}

// activate has a running Postfix read the new files, and sends it a message.
func (o *Options) activate(ctx context.Context, i *postfix.Instance, p *Plan, t Target) error {
	if running(ctx, i.Dir) {
		if err := reload(ctx, i.Dir); err != nil {
			return err
		}
		reached("reloaded")
	}
	return o.probe(ctx, i, p, t)
}

// reach connects to the socket as each service will.
func reach(ctx context.Context, i *postfix.Instance, p *Plan) error {
	for _, s := range p.Asking {
		conn, err := i.Connect(ctx, s, p.Milter)
		if err == nil {
			err = greet(conn)
			conn.Close()
		}
		if err != nil {
			return fmt.Errorf("%s cannot use the daemon: %w. Nothing was changed. Check that the daemon runs (dmarcgate status), and the address and socket_owner of its listener", s.ID(), err)
		}
	}
	return nil
}

func running(ctx context.Context, dir string) bool {
	return runIn(ctx, []string{"postfix", "-c", dir, "status"}) == nil
}

func reload(ctx context.Context, dir string) error {
	return runIn(ctx, []string{"postfix", "-c", dir, "reload"})
}

func runIn(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	_, err := postfix.Run(ctx, command[0], command[1:]...)
	return err
}

// print shows a plan.
func (p *Plan) print(out io.Writer, i *postfix.Instance, t Target) {
	fmt.Fprintf(out, "Postfix %s, %s: listener %s, profile %s\n", term.Printable(i.Version()), term.Printable(i.Dir), t.Listener, t.Profile)
	for _, s := range p.Steps {
		where := "main.cf"
		if s.Service != "" {
			where = "master.cf, " + term.Printable(s.Service)
		}
		fmt.Fprintf(out, "\n%s:\n    %s\n", where, shown(s.Change.String()))
		if s.Was {
			fmt.Fprintf(out, "  instead of:\n    %s\n", shown(postfix.Change{Service: s.Service, Name: s.Name, New: s.Old}.String()))
		}
		fmt.Fprintf(out, "  why: %s\n", shown(s.Why))
		fmt.Fprintf(out, "  command: %s\n", commandLine(s.Command(i.Dir)))
	}
	if len(p.Steps) == 0 {
		fmt.Fprintln(out, "nothing to change")
	}
	for _, text := range p.Kept {
		fmt.Fprintf(out, "unchanged: %s\n", shown(text))
	}
}

// maxText is how much of a value is shown: our limit. A value that is longer has to
// be looked at in main.cf.
const maxText = 4096

func shown(text string) string { return term.Bounded(text, maxText) }

// commandLine is a command that a shell takes as it is.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for n, w := range words {
		quoted[n] = shown(w)
		if strings.ContainsAny(w, " \t$'\"\\{}()[];&|<>*?!#~`\n") {
			quoted[n] = "'" + strings.ReplaceAll(quoted[n], "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
