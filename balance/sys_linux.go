package balance

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// createShared makes zeroed memory of size bytes that processes can share: a memfd that nobody can make shorter or longer
// (memfd_create(2), F_ADD_SEALS in fcntl(2)), so that no access to it can fault. No page is there before it is touched.
func createShared(size int) (fd int, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// From Linux 6.3 on the kernel wants to be told that the memory holds no program.
	if fd, err = unix.MemfdCreate("kroxy-ev counters", flags|unix.MFD_NOEXEC_SEAL); errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("kroxy-ev counters", flags)
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

// mapShared maps all of the memory, and gives it as bytes, for closeShared, and as words. It may have no words.
func mapShared(fd int) (mapped []byte, words []uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, nil, os.NewSyscallError("fstat", err)
	}
	if st.Size < wordSize {
		return nil, nil, nil
	}
	if mapped, err = unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	// A mapping begins at a page, so the words are aligned. The garbage collector knows nothing of it.
	return mapped, unsafe.Slice((*uint64)(unsafe.Pointer(&mapped[0])), len(mapped)/wordSize), nil
}

func closeShared(mapped []byte, fd int) {
	if mapped != nil {
		_ = unix.Munmap(mapped)
	}
	_ = unix.Close(fd)
}
