package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sockets that share a port by SO_REUSEPORT (socket(7)) are a group, in the order in which they began to listen; when one
// is closed, the last takes its place. The kernel gives a new connection to one of them when its SYN arrives, by a hash of
// the addresses, or as a program says that was attached to the group (SO_ATTACH_REUSEPORT_CBPF). It is the first packet
// alone that is steered: the handshake then belongs to the socket, whatever is attached or opened meanwhile.

// Steer has new connections go to the first n sockets, n > 0, of the group that fd is in, each as likely as the others; if
// there are no more than n, to all of them. It replaces what an earlier Steer said, for the whole group and for as long as
// the group exists: a socket that is opened later does not change it. Fd, any socket of the group, must be listening
// already. No privilege is needed.
//
// To shrink a group, steer away from its last sockets, have their owners call Listener.Retire, and close the sockets
// everywhere. Before that is done the group must not be steered to more sockets: they would be these. To grow it, open the
// new sockets, which get nothing yet if the group is steered, and then steer.
//
// The choice is by chance and not by a hash, for two reasons. The hash that a program can ask for is what the network card
// has left in the packet: nothing, on many. And when a socket's queue is full, so that the kernel drops the SYN, the
// client's next attempt is likely to meet another socket; with a hash, it is the same one for ever.
func Steer(fd, n int) error {
	if err := requireListening(fd); err != nil {
		return err
	}
	if n < 1 {
		return fmt.Errorf("engine: while steering to %d sockets: %w", n, unix.EINVAL)
	}
	if err := attach(fd, unix.SO_ATTACH_REUSEPORT_CBPF, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: bpfRandom},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_RET | bpfA},
	}); err != nil {
		return fmt.Errorf("engine: while steering to %d sockets: %w", n, err)
	}
	return nil
}

// Unsteer undoes Steer: new connections go to all sockets of the group, by the kernel's own hash. It needs Linux 5.3; before
// that, Steer to as many sockets as there are.
func Unsteer(fd int) error {
	if err := requireListening(fd); err != nil {
		return err
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: it was not steered
		return fmt.Errorf("engine: while undoing a steering: %w", os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// requireListening refuses a socket that is not in its group yet: the kernel would take the program, and forget it when the
// socket joins.
func requireListening(fd int) error {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && on == 0 {
		err = errors.New("the socket does not listen")
	}
	if err != nil {
		return fmt.Errorf("engine: while steering: %w", err)
	}
	return nil
}

// dropSYN has the kernel pass over packets that would begin a connection with fd, as if they had been lost: the client sends
// another a second later. Handshakes that have begun are not touched.
func dropSYN(fd int32) error {
	// A filter of a TCP socket sees the packet from the TCP header on (RFC 9293 section 3.1).
	const flags, syn = 13, 0x02
	return attach(int(fd), unix.SO_ATTACH_FILTER, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	})
}

// dropNothing undoes dropSYN for a connection: it inherits the filter from the socket that it was accepted from.
func dropNothing(fd int32) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
}

// From linux/filter.h.
const (
	bpfA      = 0x10                // BPF_A: the accumulator is what a program returns
	bpfRandom = 1<<32 - 0x1000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM: a load from there is a random word
)

// attach attaches a classic BPF program to a socket.
func attach(fd, option int, program []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, option, &p))
}
