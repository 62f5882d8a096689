build {
  sources = ["source.amazon-ebs.runctl"]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/runctl"]
  }

  provisioner "file" {
    sources     = [var.wheel, "${path.root}/../packer", "${path.root}/../systemd"]
    destination = "/tmp/runctl/"
  }

  provisioner "shell" {
    inline = [
      "if command -v cloud-init >/dev/null; then sudo cloud-init status --wait >/dev/null || true; fi",
      "sudo bash /tmp/runctl/packer/install.sh --wheel /tmp/runctl/$(basename ${var.wheel}) --login-user ${local.login_user}",
      # Else the image's tags would not tell what is in it.
      "said=$(sudo /usr/local/bin/runctl-agent --version)",
      "[ \"$said\" = 'runctl-agent ${var.agent_version} (${var.commit})' ] || { echo \"the wheel is of another version or commit: $said\" >&2; exit 1; }",
    ]
  }

  # Nothing after it: what is done later is in the image.
  provisioner "shell" {
    inline = [
      "sudo bash /tmp/runctl/packer/install.sh --clean",
      "sudo rm -rf /tmp/runctl",
      "sudo /usr/local/bin/runctl-agent doctor --image", # by its path: not every sudo looks there
    ]
  }

  post-processor "manifest" {
    output     = "packer-manifest.json"
    strip_path = true
    custom_data = {
      agent_version = var.agent_version
      commit        = var.commit
      base          = var.base
      architecture  = var.architecture
      source_ami    = local.source_ami
    }
  }
}
