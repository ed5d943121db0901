package shared

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// create makes zeroed memory of size bytes: a memfd whose size is sealed (memfd_create(2), F_ADD_SEALS in fcntl(2)).
func create(name string, size int) (fd int, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Since Linux 6.3 the kernel wants to be told that the memory is not executable.
	if fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL); errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("ftruncate", err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// attach maps all of the memory. It takes ownership of fd. The memory may have no words.
func attach(fd int) (*Memory, error) {
	m := &Memory{fd: fd}
	var st unix.Stat_t
	err := os.NewSyscallError("fstat", unix.Fstat(fd, &st))
	if err == nil && st.Size >= WordSize {
		m.mapped, err = unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		err = os.NewSyscallError("mmap", err)
	}
	if err != nil {
		release(nil, fd)
		return nil, err
	}
	if m.mapped != nil {
		// A mapping begins at a page boundary, so the words are aligned. The garbage collector does not manage it.
		m.words = unsafe.Slice((*uint64)(unsafe.Pointer(&m.mapped[0])), len(m.mapped)/WordSize)
	}
	return m, nil
}

func release(mapped []byte, fd int) {
	if mapped != nil {
		_ = unix.Munmap(mapped)
	}
	_ = unix.Close(fd)
}
