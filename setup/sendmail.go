package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dmarcgate/mta/sendmail"
	"dmarcgate/policy"
	"dmarcgate/term"
)

// filterName is our milter in sendmail.mc.
const filterName = "dmarcgate"

// SendmailFiles are the directories of Sendmail.
type SendmailFiles struct {
	Dir   string // has sendmail.mc and sendmail.cf, such as /etc/mail
	CFDir string // has m4/cf.m4, such as /usr/share/sendmail/cf
}

// sendmailPlan is what has to change in sendmail.mc.
type sendmailPlan struct {
	files   SendmailFiles
	target  Target
	old, mc string // sendmail.mc
	cf      string // sendmail.cf as it is
}

// equates are the settings of the milter, with the timeouts of README.md. Without F=
// Sendmail delivers mail while the daemon does not answer.
func equates(t Target) string {
	place := "local:" + t.Address.Addr
	if t.Address.Network == "tcp" {
		host, port, _ := net.SplitHostPort(reachable(t.Address.Addr))
		kind := "inet:"
		if strings.Contains(host, ":") {
			kind = "inet6:"
		}
		place = kind + port + "@" + host
	}
	failing := ", F=T"
	if t.Profile == policy.Monitor {
		failing = ""
	}
	return "S=" + place + failing + ", T=C:30s;S:30s;R:10s;E:5m"
}

func (o *Options) planSendmail(ctx context.Context, files SendmailFiles) (*sendmailPlan, error) {
	t, err := ChooseListener(o.Config, o.Listener, "", o.bound(ctx))
	if err != nil {
		return nil, err
	}
	p := &sendmailPlan{files: files, target: t}
	mc, err := readAll(filepath.Join(files.Dir, "sendmail.mc"))
	cf, err2 := readAll(filepath.Join(files.Dir, "sendmail.cf"))
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	p.old, p.cf = string(mc), string(cf)
	if p.mc, err = sendmail.Set(p.old, filterName, equates(t)); err != nil {
		return nil, err
	}
	return p, nil
}

// print shows the lines of sendmail.mc that go and that come.
func (p *sendmailPlan) print(o *Options) {
	fmt.Fprintf(o.Out, "Sendmail, %s: listener %s, profile %s\n", term.Printable(p.files.Dir), p.target.Listener, p.target.Profile)
	if p.mc == p.old {
		fmt.Fprintln(o.Out, "nothing to change")
		return
	}
	before, after := strings.Split(p.old, "\n"), strings.Split(p.mc, "\n")
	fmt.Fprintln(o.Out, "\nsendmail.mc:")
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(o.Out, "  - %s\n", shown(line))
		}
	}
	for _, f := range sendmail.Filters(p.mc) {
		sign := " "
		if f.Name == filterName {
			sign = "+"
		}
		fmt.Fprintf(o.Out, "  %s %s\n", sign, shown(after[f.Line]))
	}
	fmt.Fprintln(o.Out, "  why: the daemon checks each message that arrives by SMTP, behind all other milters, which could delete its Authentication-Results field")
}

// Sendmail prints what has to change in sendmail.mc.
func Sendmail(ctx context.Context, o Options, files SendmailFiles) error {
	p, err := o.planSendmail(ctx, files)
	if err != nil {
		return err
	}
	p.print(&o)
	if p.mc != p.old {
		fmt.Fprintln(o.Out, "\nTo make these changes, with a way back: dmarcgate setup sendmail --apply")
	}
	return nil
}

// repairedSendmail is repaired for Sendmail, which reads sendmail.cf alone.
func (o *Options) repairedSendmail(ctx context.Context, dir string, wait bool) (*journal, error) {
	j, err := openJournal(dir, wait, "sendmail.mc", "sendmail.cf")
	if err != nil {
		return nil, err
	}
	if err := o.repairSendmail(ctx, j); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// ApplySendmail changes sendmail.mc, makes sendmail.cf from it and restarts
// Sendmail. Before, it asks the daemon, and it makes sendmail.cf from the present
// sendmail.mc: if that is not the present sendmail.cf, somebody makes it in another
// way, and nothing is changed. It sends no message, since Sendmail has no address
// whose mail it discards.
func ApplySendmail(ctx context.Context, o Options, files SendmailFiles) error {
	if os.Geteuid() != 0 {
		return term.Usagef("--apply: only root can change the configuration of Sendmail")
	}
	j, err := o.repairedSendmail(ctx, files.Dir, false)
	if err != nil {
		return err
	}
	defer j.close()
	p, err := o.planSendmail(ctx, files)
	if err != nil {
		return err
	}
	p.print(&o)
	if err := p.reach(); err != nil || p.mc == p.old {
		return err
	}
	release, err := o.guard(files.Dir)
	if err != nil {
		return err
	}
	defer release()
	if err = p.change(ctx, j); err == nil {
		fmt.Fprintln(o.Out, "done; to take the changes back: dmarcgate setup sendmail --undo")
		return nil
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*reloadTime)
	defer cancel()
	if failed := o.repairSendmail(back, j); failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w; Sendmail is as it was before", err)
}

// RecoverSendmail is Recover for Sendmail.
func RecoverSendmail(ctx context.Context, dir string, o Options) error {
	j, err := o.repairedSendmail(ctx, dir, true)
	if err == nil {
		j.close()
	}
	return err
}

func (o *Options) repairSendmail(ctx context.Context, j *journal) error {
	moved, err := j.recover()
	if moved {
		fmt.Fprintf(o.Out, "the former files of %s are back\n", j.dir)
		err = errors.Join(err, restartSendmail(ctx, j.file("sendmail.cf")))
	}
	return err
}

// UndoSendmail puts the files back as they were before ApplySendmail.
func UndoSendmail(ctx context.Context, o Options, dir string) error {
	if os.Geteuid() != 0 {
		return term.Usagef("--undo: only root can change the configuration of Sendmail")
	}
	j, err := o.repairedSendmail(ctx, dir, false)
	if err != nil {
		return err
	}
	defer j.close()
	var d done
	switch err := readJSON(j.path("done.json"), &d); {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(o.Out, "nothing to undo: dmarcgate setup has changed nothing in %s\n", term.Printable(dir))
		return nil
	case err != nil:
		return err
	}
	for _, name := range slices.Backward(j.files) {
		if !d.Exact {
			err = fmt.Errorf("%s has been changed by somebody else meanwhile", j.file(name))
		} else {
			_, err = j.restore(j.path(originalName, name), name, d.After[name])
		}
		if err != nil {
			return fmt.Errorf("%w. Take the milter %s out of sendmail.mc and make sendmail.cf by hand, then remove %s", err, filterName, j.path())
		}
	}
	if err := os.RemoveAll(j.path()); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s is without the changes of dmarcgate setup\n", term.Printable(dir))
	return restartSendmail(ctx, j.file("sendmail.cf"))
}

// reach connects to the daemon as Sendmail does, which is root then.
func (p *sendmailPlan) reach() error {
	network, addr := "unix", p.target.Address.Addr
	if p.target.Address.Network == "tcp" {
		network, addr = "tcp", reachable(addr)
	}
	conn, err := net.DialTimeout(network, addr, greetTime)
	if err == nil {
		err = greet(conn)
		conn.Close()
	}
	if err != nil {
		return fmt.Errorf("Sendmail cannot use the daemon: %w. Nothing was changed. Check that the daemon runs (dmarcgate status)", err)
	}
	return nil
}

func (p *sendmailPlan) change(ctx context.Context, j *journal) error {
	cf, err := p.files.m4(ctx, j.file("sendmail.mc"))
	switch {
	case err != nil:
		return err
	case sendmail.Effective(cf) != sendmail.Effective(p.cf):
		return fmt.Errorf("%s is not what m4 makes from sendmail.mc: it has been changed by hand, or is made in another way. Make the change by hand", j.file("sendmail.cf"))
	}
	if err := j.begin(); err != nil {
		return err
	}
	reached("begun")
	mcFile := filepath.Join(j.edited(), "sendmail.mc")
	if err := os.WriteFile(mcFile, []byte(p.mc), 0o600); err != nil {
		return err
	}
	made, err := p.files.m4(ctx, mcFile)
	if err != nil {
		return err
	}
	if !onlyMilters(cf, made) {
		return errors.New("m4 makes more changes than the milter: make the change by hand")
	}
	if err := os.WriteFile(filepath.Join(j.edited(), "sendmail.cf"), []byte(made), 0o600); err != nil {
		return err
	}
	reached("edited")
	if err := j.swap(); err != nil {
		return err
	}
	if err := restartSendmail(ctx, j.file("sendmail.cf")); err != nil {
		return err
	}
	return j.finish(nil)
}

// onlyMilters reports whether two sendmail.cf differ in the definition of our milter,
// the list of milters and the defaults for milters alone, and the second has the first
// two.
func onlyMilters(before, after string) bool {
	rest := func(cf string) (out []string, found int) {
		for line := range strings.Lines(sendmail.Effective(cf)) {
			if strings.HasPrefix(line, "X"+filterName+",") || strings.HasPrefix(line, "O InputMailFilters=") {
				found++
				continue
			}
			if strings.HasPrefix(line, "O Milter.") {
				continue // m4 writes these defaults with the first milter
			}
			out = append(out, line)
		}
		return out, found
	}
	a, _ := rest(before)
	b, found := rest(after)
	return slices.Equal(a, b) && found == 2
}

// m4 makes sendmail.cf. Debian's sendmail.mc includes cf.m4 itself.
func (f SendmailFiles) m4(ctx context.Context, mcFile string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	args := []string{"-D_CF_DIR_=" + strings.TrimRight(f.CFDir, "/") + "/"}
	text, err := readAll(mcFile)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(text), "cf.m4") {
		args = append(args, filepath.Join(f.CFDir, "m4/cf.m4"))
	}
	cmd := exec.CommandContext(ctx, "m4", append(args, mcFile)...)
	cmd.Dir = f.Dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("m4: %w: %s", err, term.Printable(string(exit.Stderr)))
	}
	if err == nil && len(out) > maxFile {
		err = fmt.Errorf("m4 makes more than %d bytes", maxFile)
	}
	return string(out), err
}

// restartSendmail has a running Sendmail read its file again, and waits until it
// listens. Without one there is nothing to do.
func restartSendmail(ctx context.Context, cfFile string) error {
	cf, err := readAll(cfFile)
	if err != nil {
		return err
	}
	pidFile := sendmail.Option(string(cf), "PidFile")
	pid, before := sendmailProcess(pidFile)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("restarting Sendmail, process %d: %w", pid, err)
	}
	// Sendmail removes its file and writes another one when it listens again.
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if now, written := sendmailProcess(pidFile); now > 0 && !written.Equal(before) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("Sendmail has not restarted (its log names the cause)")
		case <-tick.C:
		}
	}
}

// sendmailProcess reads the process id of a running Sendmail, 0 without one, and
// when it was written.
func sendmailProcess(pidFile string) (pid int, written time.Time) {
	info, err := os.Stat(pidFile)
	if err != nil {
		return 0, time.Time{}
	}
	text, err := readAll(pidFile)
	if err != nil {
		return 0, time.Time{}
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, time.Time{}
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || !strings.HasPrefix(string(name), "sendmail") {
		return 0, time.Time{}
	}
	return pid, info.ModTime()
}
