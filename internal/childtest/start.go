package childtest

import (
	"cmp"
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts a program that the kernel kills when this process dies, in any way
// (PR_SET_PDEATHSIG in prctl(2)), with another signal if Pdeathsig is set. ended is
// called when the program has ended, with the error of [exec.Cmd.Wait].
//
// The kernel kills the program as soon as the thread that started it ends, and a
// thread of Go ends with a goroutine that is locked to it. So the program has a
// thread of its own for as long as it runs.
func Start(cmd *exec.Cmd, ended func(error)) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = cmp.Or(cmd.SysProcAttr.Pdeathsig, syscall.SIGKILL)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}
