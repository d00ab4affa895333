# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Real or fake? An exercise
#
# You will train networks that tell pictures of real faces from fakes, find out how good they are,
# and then how far you may believe them. It uses drawn faces, so a laptop will do. Each part says
# what to look at and asks questions: answer them in the cells below them, in a sentence or two, and
# give numbers with their intervals.
#
# Run the cells from top to bottom. The first one sets everything up. If this notebook lies alone,
# as on a hosted service, write the address from which you have the suite into `REPOSITORY` first,
# and choose a GPU if you are offered one: every script uses it by itself.

# %%
import importlib
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = ""  # an address for git clone; not needed within the suite's folder
IMAGES_PER_CLASS = 600  # for training; 100 will do for a first look, and learns little
EPOCHS = 5

here = Path.cwd()
root = next((p for p in (here, *here.parents) if (p / "train_main.py").is_file()), None)
if root is None:
    if not REPOSITORY:
        raise SystemExit(
            "write the suite's address into REPOSITORY, and run this again"
        )
    root = here / "real_or_fake_faces"
    subprocess.run(["git", "clone", REPOSITORY, str(root)], check=True)
needed = ("torch", "torchvision", "pretrainedmodels", "pytorch_grad_cam", "sklearn")
if not all(map(find_spec, needed)):
    listed = str(root / "requirements.txt")
    subprocess.run([sys.executable, "-m", "pip", "install", "-r", listed], check=True)
sys.path.insert(0, str(root))
WORK = root / "exercise"  # what you make goes here
WORK.mkdir(exist_ok=True)
os.chdir(WORK)

# %% [markdown]
# Two helpers. `run` calls one of the suite's scripts, as you would in a terminal with `python`
# before it; every script explains its flags with `--help`. `show` shows figures that it wrote.

# %%
from IPython.display import Image, display


def run(command: str) -> None:
    """Run a script of the suite: `run("train_main.py --help")`."""
    script, *words = shlex.split(command)
    importlib.import_module(script.removesuffix(".py")).main(words)


def show(*names: str) -> None:
    """Show figures of the folder figures/."""
    for name in names:
        display(Image(filename=f"figures/{name}.png"))


# %% [markdown]
# ## 1. The data
#
# Two datasets with the same layout, `DATASET/{train,val,test}/{real,fake}/`. In **fakes_dataset**
# the inner face of one person is planted into the picture of another, in **synthetic_dataset** the
# whole face comes from a generator. The faces here are drawn, so nobody is harmed by them and you
# need no download. A detector of drawn faces knows nothing of photographs.

# %%
run(f"make_demo_datasets.py --images-per-class {IMAGES_PER_CLASS}")
run("plot_samples_of_faces_dataset.py")
show("datasets_samples")

# %% [markdown]
# **Question 1.** Look at the fakes of each dataset. What gives them away, to you? Which dataset do
# you find harder?

# %% [markdown]
# *Your answer:*

# %% [markdown]
# Now count, and look for what would make the task too easy: a dataset is unfair if something other
# than the forgery tells the classes apart, such as the size of the files, or if a person is in two
# splits. The names of these files begin with the person's number.

# %%
from utils import load_dataset

for split in ("train", "val", "test"):
    print(split, load_dataset("fakes_dataset", split))
run("audit_dataset.py -d fakes_dataset --group-by prefix")
show("fakes_dataset_audit")

# %% [markdown]
# **Question 2.** What share of each split is fake? What accuracy would a detector reach on the test
# split that always answers *real*? Keep that number in mind for everything that follows.
#
# **Question 3.** Does any single property tell the classes apart better than chance? Why would it
# flatter a detector if it did?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 2. SimpleNet learns
#
# Three convolutions and three linear layers.

# %%
from utils import get_nof_parameters, load_model

simple = load_model("SimpleNet")
print(simple)
print(f"{get_nof_parameters(simple):,} parameters")

# %% [markdown]
# **Question 4.** Which layer holds most of the parameters? Work the number out from its sizes.
#
# Now train it, with Adam at a learning rate of 0.001 and batches of 32 images. After each epoch the
# network is measured on validation; the checkpoint is that of the best epoch.

# %%
run(f"train_main.py -d fakes_dataset -m SimpleNet -lr 0.001 -b 32 -e {EPOCHS} -o Adam")
run(
    "plot_accuracy_and_loss.py -m SimpleNet -d fakes_dataset "
    "-j out/fakes_dataset_SimpleNet_Adam.json"
)
show("fakes_dataset_SimpleNet_losses_plot", "fakes_dataset_SimpleNet_accuracies_plot")

# %% [markdown]
# **Question 5.** In which epoch is the validation accuracy highest, and what is the test accuracy
# of that epoch? Why is the epoch chosen on validation and not on test?
#
# **Question 6.** Does the network learn its training images by heart? Which curves tell you?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 3. How good is it, and how sure is that?
#
# Accuracy hangs on a threshold. The ROC curve shows every threshold at once: how many fakes are
# found (TPR) against how many real pictures are called fake (FPR). The DET curve shows both errors,
# on axes that stretch the corner where a good detector lies.

# %%
simple_checkpoint = "checkpoints/fakes_dataset_SimpleNet_Adam.pt"
run(f"numerical_analysis.py -m SimpleNet -cpp {simple_checkpoint} -d fakes_dataset")
show("fakes_dataset_SimpleNet_roc_curve", "fakes_dataset_SimpleNet_det_curve")

# %% [markdown]
# **Question 7.** The pale curve is that of the other score, P(real), with *fake* as the positive
# class all the same. Why do the two AUCs add up to 1? Is the pale one a worse detector?
#
# **Question 8.** Read the AUC and its 95 % interval. How wide is it? What would make it narrower?
#
# **Question 9.** How many fakes are found if at most 1 % of the real pictures may be called fake?
# For which use is that the number that counts, and for which is it the accuracy?
#
# **Question 10.** Why does the DET curve show a good detector more clearly than the ROC curve?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 4. Another kind of fake

# %%
run(
    f"train_main.py -d synthetic_dataset -m SimpleNet -lr 0.001 -b 32 -e {EPOCHS} -o Adam"
)
run(
    "numerical_analysis.py -m SimpleNet -d fakes_dataset synthetic_dataset "
    f"-cpp {simple_checkpoint} checkpoints/synthetic_dataset_SimpleNet_Adam.pt"
)
show("comparison_auc_matrix")

# %% [markdown]
# **Question 11.** Each row is a detector, each column a dataset. How good is each detector on the
# fakes that it was *not* trained on? What does 0.5 mean, and what does a number far below it?
#
# **Question 12.** A newspaper writes that a detector is "99 % accurate". Which two questions do you
# ask?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 5. A larger network, pretrained
#
# XceptionBased is Xception (Chollet, 2017) with its last layer replaced by a small network. Its
# convolutions are *separable*: first each channel is filtered by itself, then the channels are
# mixed by a 1 x 1 convolution.

# %%
xception = load_model("XceptionBased", from_scratch=True)
print(f"{get_nof_parameters(xception):,} parameters")

# %% [markdown]
# **Question 13.** How many weights has a 3 x 3 convolution from 728 to 728 channels? How many has a
# separable one? What is saved, and what can the plain one do that the separable one cannot?
#
# **Question 14.** Why does it help to start from weights that were trained on ImageNet, which holds
# no fakes at all?
#
# Training it takes a GPU, or patience (two cores: two to three minutes an epoch with bfloat16 in
# hardware, four times as long without), and the first time a download of 90 MB of weights. Set
# `WITH_XCEPTION = True` if you have them.

# %%
WITH_XCEPTION = False
model, optimizer = "SimpleNet", "Adam"
if WITH_XCEPTION:
    model = "XceptionBased"
    run(
        f"train_main.py -d synthetic_dataset -m {model} -lr 0.001 -b 32 -e 2 -o {optimizer}"
    )
    run(f"numerical_analysis.py -m {model} -d synthetic_dataset")

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 6. Which pixels matter? Saliency maps
#
# The gradient of a score by each pixel: bright where a small change moves the score most
# (Simonyan et al., 2014). Beside single pictures you see the mean over all real and all fake ones.

# %%
run(f"saliency_map.py -m SimpleNet -cpp {simple_checkpoint} -d fakes_dataset")
show(
    "fakes_dataset_SimpleNet_saliency_maps_and_images_pairs",
    "fakes_dataset_SimpleNet_mean_saliency_maps",
)

# %% [markdown]
# **Question 15.** Where are the mean maps bright? Does that fit how these fakes were made?
#
# **Question 16.** The gradient says what a *small* change would do. Why is that not the same as
# *why* the network decided so?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 7. Which regions matter? Grad-CAM
#
# Grad-CAM (Selvaraju et al., 2017) weighs the activations of a late layer by the gradient. The maps
# are coarser and show regions. `--checks` asks of them what every explanation should be asked: does
# the map change if the network's layers are made random? Does the score fall if the region is taken
# away? Does it point at the face that was planted?

# %%
checkpoint = f"checkpoints/synthetic_dataset_{model}_{optimizer}.pt"
run(f"grad_cam_analysis.py -m {model} -cp {checkpoint} -d synthetic_dataset")
run(
    f"grad_cam_analysis.py -m SimpleNet -cp {simple_checkpoint} -d fakes_dataset --checks"
)
show(
    f"synthetic_dataset_{model}_Fake_Image_grad_cam",
    "fakes_dataset_SimpleNet_Fake_Image_grad_cam",
    "fakes_dataset_SimpleNet_Real_Image_grad_cam",
    "fakes_dataset_SimpleNet_grad_cam_checks",
)

# %% [markdown]
# **Question 17.** Do the two detectors look at the same places? Should they?
#
# **Question 18.** Which checks do the maps pass? Would you show them to somebody who must decide
# about a picture?

# %% [markdown]
# *Your answers:*

# %% [markdown]
# ## 8. All of it on one page
#
# What you would hand to somebody else: numbers, figures, the worst mistakes, and the limits.

# %%
run(f"report.py -cpp {simple_checkpoint}")
print(Path("figures/fakes_dataset_SimpleNet_Adam_report.html").resolve())

# %% [markdown]
# **Question 19.** Open the page. Which of its limits weighs most, if the detector is to be used on
# pictures from the internet?
#
# **Question 20.** Of 10,000 pictures on a platform 10 are fake. The detector is set so that it calls
# 1 % of the real ones fake, and finds as many fakes as in question 9. Of the pictures that it
# reports, how many are fakes? (`numerical_analysis.py
# --prevalence 0.001` does the sum at the rate that it measured, somewhat below 1 %; that takes the
# 600 images.)

# %% [markdown]
# *Your answers:*
