"""The XML of residents: domains as people and products define them, their pools and networks.

Text only; `residents.py` puts them on a host. What other managers write into a domain (Nova, oVirt,
virt-manager) is here as those products write it, because finding out who manages a guest hangs on exactly
that.

Effects: none
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

NOVA = """\
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
  <nova:package version="27.1.0"/>
  <nova:name>shop-frontend</nova:name>
  <nova:creationTime>2024-03-05 10:11:12</nova:creationTime>
  <nova:flavor name="m1.tiny">
    <nova:memory>16</nova:memory>
    <nova:disk>1</nova:disk>
    <nova:swap>0</nova:swap>
    <nova:ephemeral>0</nova:ephemeral>
    <nova:vcpus>1</nova:vcpus>
  </nova:flavor>
  <nova:owner>
    <nova:user uuid="0d3b1a5d9f6c4a7e8b2c1d4e5f607182">shop-admin</nova:user>
    <nova:project uuid="8f14e45fceea467f9a1c2b3d4e5f6071">shop</nova:project>
  </nova:owner>
  <nova:root type="image" uuid="5b1f7a2c-3d4e-4f50-8a61-7b8c9d0e1f20"/>
  <nova:ports>
    <nova:port uuid="c2a9d1e4-5f60-4718-92a3-b4c5d6e7f809">
      <nova:ip type="fixed" address="10.20.0.5" ipVersion="4"/>
    </nova:port>
  </nova:ports>
</nova:instance>
"""

NOVA_SYSINFO = """\
<sysinfo type='smbios'>
  <system>
    <entry name='manufacturer'>OpenStack Foundation</entry>
    <entry name='product'>OpenStack Nova</entry>
    <entry name='version'>27.1.0</entry>
    <entry name='serial'>{uuid}</entry>
    <entry name='uuid'>{uuid}</entry>
    <entry name='family'>Virtual Machine</entry>
  </system>
</sysinfo>
"""

OVIRT = """\
<ovirt-tune:qos xmlns:ovirt-tune="http://ovirt.org/vm/tune/1.0"/>
<ovirt-vm:vm xmlns:ovirt-vm="http://ovirt.org/vm/1.0">
  <ovirt-vm:balloonTarget type="int">16384</ovirt-vm:balloonTarget>
  <ovirt-vm:clusterVersion>4.7</ovirt-vm:clusterVersion>
  <ovirt-vm:destroy_on_reboot type="bool">False</ovirt-vm:destroy_on_reboot>
  <ovirt-vm:launchPaused>false</ovirt-vm:launchPaused>
  <ovirt-vm:memGuaranteedSize type="int">16</ovirt-vm:memGuaranteedSize>
  <ovirt-vm:minGuaranteedMemoryMb type="int">16</ovirt-vm:minGuaranteedMemoryMb>
  <ovirt-vm:resumeBehavior>auto_resume</ovirt-vm:resumeBehavior>
  <ovirt-vm:startTime type="float">1709633472.123</ovirt-vm:startTime>
  <ovirt-vm:device mac_address="56:6f:1a:2b:00:01"/>
  <ovirt-vm:device devtype="disk" name="vda">
    <ovirt-vm:domainID>2d6f8c1e-0a4b-4c6d-8e9f-a0b1c2d3e4f5</ovirt-vm:domainID>
    <ovirt-vm:poolID>7e1d0c3b-5a49-4f38-9e27-160554433221</ovirt-vm:poolID>
  </ovirt-vm:device>
</ovirt-vm:vm>
"""

LIBOSINFO = """\
<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
  <libosinfo:os id="http://debian.org/debian/12"/>
</libosinfo:libosinfo>
"""

PASSTHROUGH = """\
<hostdev mode='subsystem' type='pci' managed='yes'>
  <source><address domain='0x0000' bus='0x65' slot='0x00' function='0x0'/></source>
</hostdev>
"""

AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\n"
SCREEN = """\
<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
<video><model type='vga' vram='2048'/></video>
"""


def render_domain(
    name: str,
    uuid: str,
    devices: str,
    *,
    memory_mib: int = 16,
    metadata: str = "",
    before_devices: str = "",
    smbios: bool = False,
) -> str:
    """A small emulated PC with a BIOS; everything else comes as device XML."""
    sysinfo = "<smbios mode='sysinfo'/>" if smbios else ""
    parts = [
        "<domain type='qemu'>",
        f"<name>{escape(name)}</name>",
        f"<uuid>{uuid}</uuid>",
        f"<metadata>{metadata}</metadata>" if metadata else "",
        before_devices,
        f"<memory unit='MiB'>{memory_mib}</memory>",
        "<vcpu>1</vcpu>",
        f"<os><type arch='x86_64' machine='pc'>hvm</type>{sysinfo}</os>",
        "<features><acpi/></features>",
        "<on_crash>preserve</on_crash>",
        "<devices>",
        "<controller type='usb' model='none'/>",
        devices,
        "<panic model='isa'/>",
        "<memballoon model='none'/>",
        "</devices>",
        "</domain>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def render_file_disk(
    path: Path, target: str = "vda", kind: str = "raw", *, extra: str = "", driver: str = ""
) -> str:
    """A disk in a file. `extra` goes into the disk element, `driver` into the driver's attributes."""
    bus = "ide" if target.startswith("hd") else "virtio"
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{kind}' {driver}/>"
        f"<source file={quoteattr(str(path))}/><target dev='{target}' bus='{bus}'/>{extra}</disk>\n"
    )


def render_volume_disk(pool: str, volume: str, target: str = "vda", kind: str = "qcow2") -> str:
    """A disk named by storage pool and volume instead of by path."""
    return (
        f"<disk type='volume' device='disk'><driver name='qemu' type='{kind}'/>"
        f"<source pool={quoteattr(pool)} volume={quoteattr(volume)}/>"
        f"<target dev='{target}' bus='virtio'/></disk>\n"
    )


def render_cdrom(path: Path | None) -> str:
    """A CD drive, with a disc in it or empty."""
    source = f"<source file={quoteattr(str(path))}/>" if path else ""
    return (
        f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}"
        "<target dev='hdc' bus='ide'/><readonly/></disk>\n"
    )


def render_nic(kind: str, source: str, mac: str, *, extra: str = "", model: str = "virtio") -> str:
    """A NIC on a bridge (`kind` bridge) or on a libvirt network (`kind` network)."""
    return (
        f"<interface type='{kind}'><mac address='{mac}'/><source {kind}={quoteattr(source)}/>{extra}"
        f"<model type='{model}'/><rom enabled='no'/></interface>\n"
    )


def render_serial(log: Path) -> str:
    """COM1, whose output libvirt also keeps in a file."""
    return f"<serial type='pty'><log file={quoteattr(str(log))}/></serial>\n"


def render_pool(name: str, folder: Path) -> str:
    """A storage pool that is a folder."""
    target = f"<target><path>{escape(str(folder))}</path></target>"
    return f"<pool type='dir'><name>{escape(name)}</name>{target}</pool>\n"


def render_network(name: str, body: str) -> str:
    """A libvirt network; `body` says of which kind."""
    return f"<network><name>{escape(name)}</name>{body}</network>\n"
