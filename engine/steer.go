package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sockets that share a port by SO_REUSEPORT (socket(7)) form a group, ordered by when they began to listen; when one
// is closed, the last takes its place. The kernel assigns a new connection to one of them when its SYN arrives, by a hash of
// the addresses, or by a program attached to the group (SO_ATTACH_REUSEPORT_CBPF). Only the SYN is steered:
// the handshake then belongs to the socket, whatever is attached or opened meanwhile.

// Steer directs new connections to the first n sockets, n > 0, of the group that fd belongs to, each with the same probability;
// if there are no more than n sockets, to all of them. It replaces any earlier Steer for the whole group, and lasts as long as
// the group exists: opening more sockets does not change it. fd may be any socket of the group that is already
// listening. No privilege is needed.
//
// To shrink a group, steer away from its last sockets, make their owners call Listener.Retire, and close the sockets
// in all processes. Until that is done the group must not be steered to more sockets, because those would be the retiring ones. To
// grow a group, open the new sockets, which get no connections yet if the group is steered, and then call Steer.
//
// The choice is random, not by a hash, for two reasons. The hash available to such a program is the one that the network card
// has left in the packet: with many cards, none. And when a socket's queue is full, so that the kernel drops the SYN, the
// client's next attempt is likely to reach another socket; with a hash, it would always reach the same one.
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

// Unsteer undoes Steer: new connections go to all sockets of the group, by the kernel's own hash. It needs Linux 5.3; on older
// kernels, call Steer with the number of sockets.
func Unsteer(fd int) error {
	if err := requireListening(fd); err != nil {
		return err
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) { // ENOENT: the group was not steered
		return fmt.Errorf("engine: while removing the steering program: %w", os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// requireListening rejects a socket that is not in its group yet: the kernel would accept the program, and drop it when the
// socket joins the group.
func requireListening(fd int) error {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && on == 0 {
		err = errors.New("the socket is not listening")
	}
	if err != nil {
		return fmt.Errorf("engine: while steering: %w", err)
	}
	return nil
}

// dropSYN makes the kernel drop SYNs for fd, as if they had been lost: the client sends another a second later. Handshakes
// in progress are not affected.
func dropSYN(fd int32) error {
	// The filter of a TCP socket sees the packet from the TCP header on (RFC 9293 section 3.1).
	const flags, syn = 13, 0x02
	return attach(int(fd), unix.SO_ATTACH_FILTER, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	})
}

// detachFilter removes the filter of dropSYN from a socket. An accepted connection inherits the filter from its listening socket.
func detachFilter(fd int32) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
}

// From linux/filter.h.
const (
	bpfA      = 0x10                // BPF_A: the program returns the accumulator
	bpfRandom = 1<<32 - 0x1000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM: loading from here gives a random word
)

// attach attaches a classic BPF program to a socket.
func attach(fd, option int, program []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, option, &p))
}
