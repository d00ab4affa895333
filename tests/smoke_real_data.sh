#!/usr/bin/env bash
# Run every script with both models on a few real faces; any failure fails.
# Usage: smoke_real_data.sh DATA_ROOT XCEPTION_WEIGHTS
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
data="$1" weights="$2"
python="$repository/.venv/bin/python"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

coproc scripts { "$python" "$repository/tests/run_scripts.py"; }

run() {
  local status
  echo "+ $*"
  echo "${@@Q}" >&"${scripts[1]}"
  read -r status <&"${scripts[0]}"
  test "$status" = 0
}

mkdir few_real few_fake
for name in real fake; do
  files=("$data/fakes_dataset/test/$name"/*)
  cp "${files[@]:0:6}" "few_$name"
done

smoke() { # MODEL DATASET IMAGES [TRAINING FLAG ...]
  local model="$1" dataset="$2" images="$3"
  shift 3
  local checkpoint="checkpoints/${dataset}_${model}_Adam.pt"
  local common=(-m "$model" -d "$dataset" --data-root "$data" --limit "$images")
  run train_main.py "${common[@]}" -lr 0.001 -b 8 -e 1 -o Adam "$@"
  run plot_accuracy_and_loss.py -m "$model" -j "out/${dataset}_${model}_Adam.json" -d "$dataset"
  run numerical_analysis.py "${common[@]}" -cpp "$checkpoint"
  run saliency_map.py "${common[@]}" -cpp "$checkpoint"
  run grad_cam_analysis.py "${common[@]}" -cp "$checkpoint"
  run predict.py -cpp "$checkpoint" "$data/$dataset/test/fake/$(ls "$data/$dataset/test/fake" | head -n 1)"
  for figure in losses_plot accuracies_plot roc_curve det_curve \
    saliency_maps_and_images_pairs mean_saliency_maps Real_Image_grad_cam Fake_Image_grad_cam; do
    test -s "figures/${dataset}_${model}_${figure}.png"
  done
}

run plot_samples_of_faces_dataset.py --data-root "$data"
test -s figures/datasets_samples.png
smoke SimpleNet fakes_dataset 12
# With so few images the maps of the large network are not checked, which takes minutes.
smoke XceptionBased synthetic_dataset 3 --weights "$weights"

run report.py -cpp checkpoints/synthetic_dataset_XceptionBased_Adam.pt --data-root "$data" --limit 3
test -s figures/synthetic_dataset_XceptionBased_Adam_report.html

run audit_dataset.py -d fakes_dataset --data-root "$data" --limit 20 --group-by prefix
test -s figures/fakes_dataset_audit.html

few=(--data-root "$data" --limit 12)
a=checkpoints/fakes_dataset_SimpleNet_Adam.pt
b=checkpoints/synthetic_dataset_SimpleNet_Adam_general.pt
run train_main.py "${few[@]}" -d synthetic_dataset --recipe general -m SimpleNet -b 8 -e 1 --name general
run numerical_analysis.py "${few[@]}" -cpp "$a" "$b" -d fakes_dataset synthetic_dataset
test -s figures/comparison_auc_matrix.png
run report.py "${few[@]}" -cpp "$a" "$b" -d fakes_dataset
test -s figures/comparison_report.html
run robustness_analysis.py "${few[@]}" -cpp "$a" "$b" -d fakes_dataset --conditions photographs
test -s figures/fakes_dataset_robustness.png
run saliency_map.py "${few[@]}" -cpp "$a" -d fakes_dataset --method input-x-gradient --checks 4
run grad_cam_analysis.py "${few[@]}" -cp "$a" -d fakes_dataset --method layer-cam --checks 4

run train_main.py "${few[@]}" -d fakes_dataset --recipe probe -e 1 --weights "$weights" --limit 3
run predict.py -cpp checkpoints/fakes_dataset_XceptionBased_LBFGS.pt few_real

run extract_faces.py --real few_real --fake few_fake --to own
test -s own/faces.csv
run predict.py -cpp "$a" few_fake --find-faces --csv faces.csv
run train_main.py "${few[@]}" -d fakes_dataset -b 8 -e 1 --self-blend 0.5 --face-landmarks --workers 2 --name found
run calibrate.py "${few[@]}" -cpp "$a" --calibrate-under face=96 --max-fpr 0.2
run predict.py -cpp checkpoints/fakes_dataset_SimpleNet_Adam_calibrated.pt few_fake --report case.html
test -s case.html

run make_table.py "$data/fakes_dataset" --group-by prefix --to datasets/grouped.csv
run numerical_analysis.py -cpp "$a" -d grouped --data-root datasets --limit 12
run compare_runs.py
test -s figures/grouped_SimpleNet_metrics.json
test -s figures/trainings.md
echo "smoke run passed"
