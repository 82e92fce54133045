#!/bin/sh
# The virtual machine's second program, in the host's file system: runs the tests on the second serial line, and says
# how they ended on the third.
. /run/guest/settings.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

mkdir -p /dev/pts /dev/shm /run/lock /run/netns /var/lib /var/tmp
ln -s /run /var/run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
ip link set lo up

# The kernel calls this for a module that it lacks.
ln -s "$KMOD" /run/guest/modprobe
cat >/run/guest/load <<END
#!/bin/sh
LD_LIBRARY_PATH='$LIBRARIES' exec /run/guest/modprobe --dirname '$KERNEL' "\$@"
END
chmod +x /run/guest/load
echo /run/guest/load >/proc/sys/kernel/modprobe
# Nobody asks for these: their devices are there only once they are loaded.
/run/guest/load -a tun ppp_generic

cd "$TREE" || exit
stty -F /dev/ttyS1 -opost
# Closing a line waits until everything is out.
tests >/dev/ttyS1 2>&1 </dev/null
echo "exit $?" >/dev/ttyS2
echo o >/proc/sysrq-trigger
sleep 60
