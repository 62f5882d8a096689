locals {
  login_user    = var.base == "amazon-linux-2023" ? "ec2-user" : "ubuntu"
  instance_type = var.instance_type != "" ? var.instance_type : (var.architecture == "arm64" ? "m7g.large" : "m6i.large")
  tags = {
    "Name"                 = "runctl ${var.agent_version} on ${var.base} ${var.architecture}"
    "runctl:agent-version" = var.agent_version
    "runctl:commit"        = var.commit
    "runctl:base"          = var.base
    "runctl:source-ami"    = local.source_ami
  }
}

source "amazon-ebs" "runctl" {
  region        = var.region
  source_ami    = local.source_ami
  instance_type = local.instance_type
  subnet_id     = var.subnet_id

  ami_name        = "runctl-${var.agent_version}-${var.base}-${var.architecture}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ami_description = "GPU image with the runctl agent ${var.agent_version} (${var.commit})"
  tags            = local.tags
  run_tags        = { "Name" = "packer: runctl ${var.agent_version}" }
  run_volume_tags = { "Name" = "packer: runctl ${var.agent_version}" }

  launch_block_device_mappings {
    device_name           = var.base == "amazon-linux-2023" ? "/dev/xvda" : "/dev/sda1"
    volume_type           = "gp3"
    iops                  = 3000 # what a gp3 volume has anyway; Packer 1.6 wants them named
    throughput            = 125
    volume_size           = var.volume_size
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
  }

  communicator = "ssh"
  ssh_username = local.login_user

  # --- from here to the end: what Packer before 1.7 does not know; a test of 1.6.6 leaves it out ---
  metadata_options { # IMDSv2 alone, for the builder
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2 # a container is one hop
  }
  imds_support = "v2.0" # and for every machine of the image
}
